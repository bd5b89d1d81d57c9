// Sampler, slow twin and trainer agree for every architecture.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "reference/sampling.h"
#include "sgrpo/algorithm/rows.h"
#include "testing/tiny_families.h"
#include "testing/tiny_policy.h"

namespace sgrpo::rollout {
namespace {

using testing::TinyCheckpoint;
using testing::TinyPolicy;

class Families : public ::testing::TestWithParam<TinyCheckpoint> {
 protected:
  Families() : tiny_(GetParam()) {
    for (const auto& prompt : tiny_.prompts()) {
      SamplingRequest request{.prompt = prompt, .num_samples = 2};
      request.key.prompt_index = requests_.size();
      request.options.max_new_tokens = 10;
      request.options.end_token_ids = tiny_.policy().end_token_ids();
      requests_.push_back(request);
    }
  }
  TinyPolicy tiny_;
  std::vector<SamplingRequest> requests_;
};

TEST_P(Families, sampling_equals_a_full_forward_per_token) {
  const auto groups = testing::sample_all(tiny_.policy(), requests_);
  for (size_t p = 0; p < groups.size(); ++p) {
    for (size_t g = 0; g < 2; ++g) {
      const Completion& fast = groups[p].members[g].completion;
      const auto slow = reference::sample_slowly(
          tiny_.model(), requests_[p], tiny_.policy().masked_ids(), static_cast<int64_t>(g));
      ASSERT_EQ(fast.token_ids, slow.token_ids) << "prompt " << p;
      for (size_t t = 0; t < slow.logprobs.size(); ++t)
        EXPECT_NEAR(fast.sampler_logprobs[t], slow.logprobs[t], 1e-5);
      EXPECT_NEAR(fast.entropy_sum, slow.entropy_sum, 1e-4);
    }
  }
}

TEST_P(Families, trainer_scores_what_the_sampler_said_however_it_is_packed) {
  for (SamplingRequest& request : requests_) request.options.end_token_ids.clear();
  const auto groups = testing::sample_all(tiny_.policy(), requests_);
  for (const bool share_prefix : {true, false}) {
    for (const policy::PackedBatch& batch :
         tiny_.policy().pack(algorithm::rows_of(groups), {}, {.share_prefix = share_prefix})) {
      const Scores scores = tiny_.policy().score(batch);
      EXPECT_LT((scores.logprobs - batch.loss.sampler_logprobs).abs().max().item<double>(), 1e-5)
          << "share_prefix " << share_prefix;
    }
  }
}

TEST_P(Families, gradients_do_not_depend_on_sharing_the_prefix) {
  const auto groups = testing::sample_all(tiny_.policy(), requests_);
  std::vector<std::vector<at::Tensor>> gradients;
  for (const bool share_prefix : {true, false}) {
    for (const policy::PackedBatch& batch : tiny_.policy().pack(algorithm::rows_of(groups),
                                                                {.sampling_mask = false},
                                                                {.share_prefix = share_prefix})) {
      tiny_.policy().score(batch).logprobs.sum().backward();
    }
    gradients.emplace_back();
    for (const model::Parameter& parameter : tiny_.model().parameters()) {
      at::Tensor tensor = parameter.tensor;
      ASSERT_TRUE(tensor.grad().defined()) << parameter.name << " has no gradient";
      gradients.back().push_back(tensor.grad().clone());
      tensor.mutable_grad().reset();
    }
  }
  const auto& parameters = tiny_.model().parameters();
  double largest = 0.0;
  for (const at::Tensor& gradient : gradients[0])
    largest = std::max(largest, gradient.abs().max().item<double>());
  for (size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_LT((gradients[0][i] - gradients[1][i]).abs().max().item<double>(), 1e-5 * largest)
        << parameters[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         Families,
                         ::testing::ValuesIn(testing::tiny_families()),
                         [](const auto& each) { return testing::family_name(each.param); });

}  // namespace
}  // namespace sgrpo::rollout
