// Policies that score beside the one that learns.
#include <gtest/gtest.h>

#include "learner/table_policy.h"
#include "sgrpo/core/error.h"
#include "sgrpo/learner/learner.h"

namespace sgrpo::learner {
namespace {

std::unique_ptr<Learner> learner_at(const std::vector<float>& logits,
                                    distributed::Communicator& ranks) {
  return std::make_unique<Learner>(std::make_unique<TablePolicy>(TableOptions{.logits = logits}),
                                   optim::OptimOptions{},
                                   policy::Budget{.tokens = 100},
                                   ranks);
}

FrozenPolicy frozen_at(const std::vector<float>& logits, std::optional<double> decay = {}) {
  return {.policy = std::make_unique<TablePolicy>(TableOptions{.logits = logits}),
          .decay = decay,
          .every = 2};
}

at::Tensor moved_logits(const Learner& learner) {
  return learner.frozen_state().at("ema").at(0).second.clone();
}

TEST(FrozenPolicies, follow_when_they_are_due) {
  const auto ranks = distributed::make_local();
  const auto learner = learner_at({4, 0, 8}, *ranks);
  learner->add_frozen("ema", frozen_at({0, 0, 0}, 0.75));
  learner->add_frozen("still", frozen_at({1, 2, 3}));
  learner->end_step(1);
  EXPECT_TRUE(moved_logits(*learner).equal(at::zeros({3})));
  learner->end_step(2);
  EXPECT_TRUE(moved_logits(*learner).equal(at::tensor({1.0f, 0.0f, 2.0f})));
  EXPECT_EQ(learner->frozen_state().count("still"), 0U) << "nothing of it moves";
}

TEST(FrozenPolicies, score_and_serve_as_the_reference) {
  const auto ranks = distributed::make_local();
  const auto learner = learner_at({0, 0, 0}, *ranks);
  learner->add_frozen("other", frozen_at({0, 1, 2}));
  EXPECT_FALSE(learner->has_reference());
  learner->refer_to("other");
  EXPECT_TRUE(learner->has_reference());
  const std::vector<TrainRow> rows = {make_row({2}, 1, 0)};
  const auto named = learner->score(rows, {}, "other");
  EXPECT_NEAR(named.logprobs[0][0], 2 - std::log(1 + std::exp(1) + std::exp(2)), 1e-6);
  EXPECT_EQ(learner->score(rows, {}, Who::kReference).logprobs, named.logprobs);
}

TEST(FrozenPolicies, take_back_what_was_saved_and_nothing_else) {
  const auto ranks = distributed::make_local();
  const auto learner = learner_at({4, 0, 8}, *ranks);
  learner->add_frozen("ema", frozen_at({0, 0, 0}, 0.75));
  learner->load_frozen("ema", {{"logits", at::tensor({5.0f, 6.0f, 7.0f})}}, "here");
  EXPECT_TRUE(moved_logits(*learner).equal(at::tensor({5.0f, 6.0f, 7.0f})));
  const auto refusal = [&](const NamedTensors& state) -> std::string {
    try {
      learner->load_frozen("ema", state, "here");
    } catch (const core::UserError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal({}),
            "here has no tensor 'logits': the frozen policy ema of this run is another model; "
            "choose another output_dir");
  EXPECT_EQ(refusal({{"logits", at::zeros({4})}}),
            "here has tensor 'logits' of another shape: the frozen policy ema of this run is "
            "another model; choose another output_dir");
}

TEST(FrozenPolicies, an_average_of_few_digits_is_refused) {
  const auto ranks = distributed::make_local();
  const auto learner = learner_at({0, 0, 0}, *ranks);
  std::string message;
  try {
    learner->add_frozen(
        "ema",
        {.policy = std::make_unique<TablePolicy>(TableOptions{.dtype = at::kBFloat16}),
         .decay = 0.5});
  } catch (const core::UserError& error) {
    message = error.what();
  }
  EXPECT_EQ(message,
            "frozen.ema.decay is 0.5, but weight logits is kept as BFloat16, in which a slow "
            "average would not move: expected model.dtype: float32, or decay: null");
}

}  // namespace
}  // namespace sgrpo::learner
