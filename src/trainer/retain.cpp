// The retention rows' share of a step: groups of the arm, or a part beside it.
#include <algorithm>

#include "sgrpo/algorithm/rows.h"
#include "trainer/metric_sums.h"
#include "trainer/stages.h"
#include "trainer/together.h"

namespace sgrpo::trainer {
namespace {

/// One reward, `exact`: what the configuration makes of rewards and columns passes such rows over,
/// and an estimator that reads more than a reward leaves them to grpo.
algorithm::AlgorithmOptions without_shaping(algorithm::AlgorithmOptions options) {
  if (!algorithm::reads_rewards_alone(options)) {
    options.estimator = "grpo";
    options.params.erase("estimator");
  }
  options.shaping = core::Json::array();
  options.modifiers = core::Json::array();
  return options;
}

/// Mean reward of what was sampled, over all ranks.
StepReport describe_rewards(const State& state, const std::vector<RolloutGroup>& groups) {
  double reward = 0.0, judged = 0.0;
  for (const RolloutGroup& group : groups) {
    for (const GroupMember& member : group.members) {
      if (!member.verdict.is_valid()) continue;
      reward += member.verdict.reward;
      judged += 1.0;
    }
  }
  MetricSums sums;
  sums.mean_if_any("retention/reward", reward, judged);
  return sums.reduce(*state.communicator);
}

void report_size(const State& state, Retained& retained, double rows) {
  const auto sums = state.communicator->reduce({rows, static_cast<double>(retained.tokens)});
  retained.report.set("retention/rows", sums[0]);
  retained.report.set("retention/tokens", sums[1]);
}

/// The policy's own samples, held to the reference: no verdict, and all of them count.
learner::StepPart kl_part(const State& state, std::vector<RolloutGroup> samples) {
  for (RolloutGroup& group : samples)
    group.members.front().verdict.status = VerdictStatus::kIncorrect;
  std::vector<TrainRow> rows = algorithm::rows_of(samples);
  for (TrainRow& row : rows) row.group = samples[static_cast<size_t>(row.group)].place;
  return {.rows = std::move(rows),
          .loss = algorithm::kl_settings(loss_settings(state.config)),
          .weight = state.config.retention.weight,
          .scoring = state.scoring(/*is_sft=*/false),
          .name = "retention"};
}

learner::StepPart nll_part(const State& state, const PromptBatch& prompts) {
  std::vector<TrainRow> rows =
      together(*state.communicator, [&] { return supervised_rows(state, prompts); });
  for (size_t i = 0; i < rows.size(); ++i) rows[i].group = prompts.places[i];
  return {.rows = std::move(rows),
          .loss = algorithm::sft_settings(loss_settings(state.config)),
          .weight = state.config.retention.weight,
          .scoring = state.scoring(/*is_sft=*/true),
          .name = "retention"};
}

}  // namespace

int64_t retention_samples(const RunConfig& config, bool is_sft) {
  const RetentionOptions& options = config.retention;
  if (!options.data) return 0;
  if (options.kind == RetentionKind::kKl) return 1;
  return is_sft || options.loss == RetentionLoss::kNll ? 0 : config.rollout.group_size;
}

Retained retain(State& state,
                const PromptBatch& prompts,
                std::vector<RolloutGroup> samples,
                bool is_sft,
                int64_t step) {
  Retained retained;
  if (state.feed->retention() == nullptr) return retained;
  const RetentionOptions& options = state.config.retention;
  if (options.kind == RetentionKind::kKl) {
    retained.parts.push_back(kl_part(state, std::move(samples)));
    retained.tokens = tokens_of(retained.parts.back().rows);
  } else if (options.loss == RetentionLoss::kNll) {
    retained.parts.push_back(nll_part(state, prompts));
    retained.arm_weight = 1.0 - options.weight;
    retained.tokens = tokens_of(retained.parts.back().rows);
  } else if (is_sft) {
    retained.rows = together(*state.communicator, [&] { return supervised_rows(state, prompts); });
    retained.tokens = tokens_of(retained.rows);
  } else {
    state.begin("verify");
    samples = state.feed->retention()->judge(std::move(samples));
    // A row's own answer is right, whatever judges the other rows.
    for (RolloutGroup& group : samples)
      group.ground_truth_verdict = {.reward = 1.0, .status = VerdictStatus::kCorrect};
    retained.report.merge(describe_rewards(state, samples));
    retained.tokens = tokens_of(samples);
    retained.groups =
        assign_credit(state, std::move(samples), without_shaping(state.config.algorithm), step);
  }
  report_size(state, retained, static_cast<double>(prompts.prompts.size()));
  return retained;
}

std::vector<bool> spread(size_t count, size_t more) {
  std::vector<bool> is_more;
  const size_t total = count + more;
  size_t next = 0, next_more = 0;
  for (size_t i = 0; i < total; ++i) {
    is_more.push_back((i + 1) * more / total > next_more || next == count);
    ++(is_more.back() ? next_more : next);
  }
  return is_more;
}

}  // namespace sgrpo::trainer
