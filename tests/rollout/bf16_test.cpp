// Sampling and scoring in bfloat16, for every architecture.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "sgrpo/algorithm/rows.h"
#include "testing/tiny_families.h"
#include "testing/tiny_policy.h"

namespace sgrpo::rollout {
namespace {

using testing::TinyCheckpoint;
using testing::TinyPolicy;

model::ModelOptions bf16_options() {
  model::ModelOptions options;
  options.dtype = model::Dtype::kBfloat16;
  return options;
}

class Bf16 : public ::testing::TestWithParam<TinyCheckpoint> {
 protected:
  Bf16() : tiny_(GetParam(), bf16_options()) {
    std::vector<SamplingRequest> requests;
    for (const auto& prompt : tiny_.prompts()) {
      SamplingRequest request{.prompt = prompt, .num_samples = 4};
      request.key.prompt_index = requests.size();
      request.options.max_new_tokens = 16;
      requests.push_back(request);
    }
    groups_ = testing::sample_all(tiny_.policy(), requests);
  }

  /// sampler - `policy`, of all tokens.
  at::Tensor gap_to(const policy::Policy& policy, bool share_prefix) const {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> gaps;
    for (const policy::PackedBatch& batch :
         policy.pack(algorithm::rows_of(groups_), {}, {.share_prefix = share_prefix}))
      gaps.push_back(batch.loss.sampler_logprobs - policy.score(batch).logprobs);
    return at::cat(gaps);
  }

  TinyPolicy tiny_;
  std::vector<RolloutGroup> groups_;
};

// Linear layers, norms and attention give a token the same bits decoded and scored; only the sum
// over the vocabulary runs in another order, in f32. One flipped bfloat16 rounding would make 1e-3.
TEST_P(Bf16, trainer_scores_what_the_sampler_said) {
  for (const bool share_prefix : {true, false}) {
    EXPECT_LT(gap_to(tiny_.policy(), share_prefix).abs().max().item<double>(), 1e-5)
        << "share_prefix " << share_prefix;
  }
}

TEST_P(Bf16, sampler_is_as_near_to_float32_as_bfloat16_is) {
  const TinyPolicy wide(GetParam());
  const auto mean = gap_to(wide.policy(), true).abs().mean().item<double>();
  EXPECT_GT(mean, 1e-4) << "is it bfloat16 that computed?";
  EXPECT_LT(mean, 0.1);
}

INSTANTIATE_TEST_SUITE_P(All,
                         Bf16,
                         ::testing::ValuesIn(testing::tiny_families()),
                         [](const auto& each) { return testing::family_name(each.param); });

}  // namespace
}  // namespace sgrpo::rollout
