// Sampling and scoring in bfloat16, for every architecture.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "sgrpo/algorithm/packing.h"
#include "sgrpo/rollout/rollout.h"
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
  Bf16() : tiny_(GetParam(), bf16_options()), prompts_(tiny_.prompts()) {
    std::vector<SamplingRequest> requests;
    for (const EncodedPrompt& prompt : prompts_)
      requests.push_back({&prompt, static_cast<int64_t>(requests.size())});
    SamplingOptions options;
    options.group_size = 4;
    options.max_new_tokens = 16;
    options.ignore_eos = true;
    options.end_token_ids = tiny_.policy().end_token_ids;
    options.masked_ids = tiny_.policy().masked_ids;
    groups_ = sample_groups(tiny_.model(), requests, options);
    masked_ = at::tensor(options.masked_ids, at::kLong);
  }

  /// sampler - `model`, of all tokens.
  at::Tensor gap_to(const model::Model& model, bool share_prefix) const {
    const at::NoGradGuard no_grad;
    std::vector<const RolloutGroup*> pointers;
    for (const RolloutGroup& group : groups_) pointers.push_back(&group);
    std::vector<at::Tensor> gaps;
    for (const TrainBatch& batch : algorithm::pack_groups(pointers, {.share_prefix = share_prefix}))
      gaps.push_back(batch.sampler_logprobs - score(model, batch, masked_, 1.0).logprobs);
    return at::cat(gaps);
  }

  TinyPolicy tiny_;
  std::vector<EncodedPrompt> prompts_;
  std::vector<RolloutGroup> groups_;
  at::Tensor masked_;
};

// Linear layers, norms and attention give a token the same bits decoded and scored; only the sum
// over the vocabulary runs in another order, in f32. One flipped bfloat16 rounding would make 1e-3.
TEST_P(Bf16, trainer_scores_what_the_sampler_said) {
  for (const bool share_prefix : {true, false}) {
    EXPECT_LT(gap_to(tiny_.model(), share_prefix).abs().max().item<double>(), 1e-5)
        << "share_prefix " << share_prefix;
  }
}

TEST_P(Bf16, sampler_is_as_near_to_float32_as_bfloat16_is) {
  const TinyPolicy wide(GetParam());
  const auto mean = gap_to(wide.model(), true).abs().mean().item<double>();
  EXPECT_GT(mean, 1e-4) << "is it bfloat16 that computed?";
  EXPECT_LT(mean, 0.1);
}

INSTANTIATE_TEST_SUITE_P(All,
                         Bf16,
                         ::testing::ValuesIn(testing::tiny_families()),
                         [](const auto& each) { return testing::family_name(each.param); });

}  // namespace
}  // namespace sgrpo::rollout
