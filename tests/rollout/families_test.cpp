// Sampler, slow twin and trainer agree for every architecture.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "reference/sampling.h"
#include "sgrpo/algorithm/packing.h"
#include "testing/tiny_families.h"
#include "testing/tiny_policy.h"

namespace sgrpo::rollout {
namespace {

using testing::TinyCheckpoint;
using testing::TinyPolicy;

class Families : public ::testing::TestWithParam<TinyCheckpoint> {
 protected:
  Families() : tiny_(GetParam()), prompts_(tiny_.prompts()) {
    for (const EncodedPrompt& prompt : prompts_)
      requests_.push_back({&prompt, static_cast<int64_t>(requests_.size())});
    options_.group_size = 2;
    options_.max_new_tokens = 10;
    options_.end_token_ids = tiny_.policy().end_token_ids;
    options_.masked_ids = tiny_.policy().masked_ids;
  }
  TinyPolicy tiny_;
  std::vector<EncodedPrompt> prompts_;
  std::vector<SamplingRequest> requests_;
  SamplingOptions options_;
};

TEST_P(Families, sampling_equals_a_full_forward_per_token) {
  const auto groups = sample_groups(tiny_.model(), requests_, options_);
  for (size_t p = 0; p < groups.size(); ++p) {
    for (size_t g = 0; g < 2; ++g) {
      const Completion& fast = groups[p].members[g].completion;
      const auto slow =
          reference::sample_slowly(tiny_.model(), requests_[p], options_, static_cast<int64_t>(g));
      ASSERT_EQ(fast.token_ids, slow.token_ids) << "prompt " << p;
      for (size_t t = 0; t < slow.logprobs.size(); ++t)
        EXPECT_NEAR(fast.sampler_logprobs[t], slow.logprobs[t], 1e-5);
    }
  }
}

TEST_P(Families, trainer_scores_what_the_sampler_said_however_it_is_packed) {
  options_.ignore_eos = true;
  const auto groups = sample_groups(tiny_.model(), requests_, options_);
  std::vector<const RolloutGroup*> pointers;
  for (const RolloutGroup& group : groups) pointers.push_back(&group);
  const at::Tensor masked = at::tensor(options_.masked_ids, at::kLong);
  for (const bool share_prefix : {true, false}) {
    for (const TrainBatch& batch :
         algorithm::pack_groups(pointers, {.share_prefix = share_prefix})) {
      const Scores scores = score(tiny_.model(), batch, masked, 1.0);
      EXPECT_LT((scores.logprobs - batch.sampler_logprobs).abs().max().item<double>(), 1e-5)
          << "share_prefix " << share_prefix;
    }
  }
}

TEST_P(Families, gradients_do_not_depend_on_sharing_the_prefix) {
  const auto groups = sample_groups(tiny_.model(), requests_, options_);
  std::vector<const RolloutGroup*> pointers;
  for (const RolloutGroup& group : groups) pointers.push_back(&group);
  std::vector<std::vector<at::Tensor>> gradients;
  for (const bool share_prefix : {true, false}) {
    for (const TrainBatch& batch :
         algorithm::pack_groups(pointers, {.share_prefix = share_prefix})) {
      score(tiny_.model(), batch, at::empty({0}, at::kLong), 1.0).logprobs.sum().backward();
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
