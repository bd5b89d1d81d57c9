// The whole path from rewards to an updated policy on a softmax over 1,000 arms, one of them right.
// Golds (lr 1, G 8, sample deviation, uniform start, steps until p > 0.9): SFT 17 exactly, CGI
// below 40, plain GRPO more than 5 times CGI in the median: it waits for the first lucky draw.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/algorithm/rows.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/rng.h"

namespace sgrpo::algorithm {
namespace {

constexpr int64_t kArms = 1000;
constexpr int64_t kRight = 123;
constexpr int64_t kGroupSize = 8;

/// A policy of one logit an arm; a completion is one token, the arm.
class Bandit {
 public:
  explicit Bandit(uint64_t seed, const std::string& when) : seed_(seed) {
    injection_.when = core::from_name<InjectWhen>(when).value();
    settings_.algorithm.std_eps = 0;
    settings_.injection = injection_;
  }

  double success_probability() const { return logits_.softmax(0)[kRight].item<double>(); }
  int64_t num_injections() const { return num_injections_; }

  void rl_step(int64_t step) {
    auto groups = classify({sample(step)});
    groups = inject_ground_truth(std::move(groups), injection_, {.seed = seed_, .step = step});
    num_injections_ += groups[0].is_injected;
    groups = estimate(std::move(groups), settings_.algorithm, injection_);
    update(groups[0], settings_);
  }

  void sft_step() {
    RolloutGroup group;
    group.prompt = prompt_;
    group.members = {make_member(1, 1)};
    group.members[0].completion.token_ids = {kRight};
    group.members[0].set_advantage(1);
    update(group, sft_settings(settings_));
  }

 private:
  RolloutGroup sample(int64_t step) const {
    const at::Tensor logprobs = logits_.log_softmax(0);
    const at::Tensor cumulative = logprobs.exp().cumsum(0);
    RolloutGroup group;
    group.prompt = prompt_;
    for (int64_t i = 0; i < kGroupSize; ++i) {
      const core::RandomKey key{.seed = seed_,
                                .step = static_cast<uint64_t>(step),
                                .sample_index = static_cast<uint64_t>(i)};
      const at::Tensor draw = at::scalar_tensor(key.uniform(), at::kDouble);
      const auto arm = std::min(at::searchsorted(cumulative, draw).item<int64_t>(), kArms - 1);
      GroupMember member = make_member(arm == kRight ? 1 : 0, 1, logprobs[arm].item<double>());
      member.completion.token_ids = {arm};
      group.members.push_back(std::move(member));
    }
    return group;
  }

  /// Every row has one decision.
  void update(const RolloutGroup& group, const LossSettings& settings) {
    const auto rows = rows_of({group});
    const auto count = static_cast<int64_t>(rows.size());
    LossBatch batch;
    batch.labels = at::empty({count}, at::kLong);
    batch.cu_seqlens = at::arange(count + 1, at::kInt);
    batch.sequence_index = at::arange(count, at::kLong);
    batch.weight = at::ones({count});
    batch.advantages = at::empty({count});
    batch.is_injected = at::empty({count}, at::kBool);
    for (int64_t i = 0; i < count; ++i) {
      const TrainRow& row = rows[static_cast<size_t>(i)];
      batch.labels[i] = row.decisions[0].label;
      batch.advantages[i] = row.decisions[0].advantage;
      batch.is_injected[i] = row.origin == Origin::kGroundTruth;
    }
    at::Tensor leaf = logits_.detach().clone().requires_grad_();
    const at::Tensor policy = leaf.log_softmax(0).index_select(0, batch.labels);
    StepContext context;
    context.denominators = {.decisions = count, .sequences = count, .groups = 1};
    batch_loss(
        {.logprobs = policy, .entropy = at::zeros_like(policy).detach()}, batch, settings, context)
        .loss.backward();
    logits_ = logits_ - leaf.grad();
  }

  uint64_t seed_;
  std::shared_ptr<const EncodedPrompt> prompt_ = make_prompt(1, {kRight});
  at::Tensor logits_ = at::zeros({kArms}, at::kDouble);
  InjectionOptions injection_;
  LossSettings settings_;
  int64_t num_injections_ = 0;
};

TEST(Tabular, sft_needs_seventeen_steps) {
  Bandit bandit(0, "never");
  int64_t steps = 0;
  for (; bandit.success_probability() <= 0.9; ++steps) bandit.sft_step();
  EXPECT_EQ(steps, 17);
}

int64_t rl_steps(Bandit& bandit, int64_t limit) {
  int64_t step = 0;
  while (step < limit && bandit.success_probability() <= 0.9) bandit.rl_step(++step);
  return step;
}

int64_t median(std::vector<int64_t> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

TEST(Tabular, cgi_starts_at_once_and_switches_itself_off) {
  std::vector<int64_t> cgi_steps, grpo_steps;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Bandit cgi(seed, "all_fail");
    cgi_steps.push_back(rl_steps(cgi, 100));
    EXPECT_LT(cgi_steps.back(), 40) << "seed " << seed;
    EXPECT_LT(cgi.num_injections(), cgi_steps.back()) << "seed " << seed;
    EXPECT_GE(cgi.num_injections(), 8) << "seed " << seed;
    Bandit grpo(seed, "never");
    // A run that is still going at six times CGI's bound already decides the median.
    grpo_steps.push_back(rl_steps(grpo, 240));
  }
  EXPECT_GT(median(grpo_steps), 5 * median(cgi_steps));
}

}  // namespace
}  // namespace sgrpo::algorithm
