#include <algorithm>

#include "trainer/numbers.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

using Stats = algorithm::LossStats;

/// A share of one part's sums over all ranks' tokens.
StepReport describe_supervised(const learner::PartReport& part) {
  StepReport report;
  report.set("entropy", part.share(Stats::kEntropy, Stats::kLossTokens));
  return report;
}

StepReport describe_policy(const learner::PartReport& part, const learner::SamplerGap& gap) {
  StepReport report;
  report.set("clip_ratio/low_mean", part.share(Stats::kClipLow, Stats::kLossTokens));
  report.set("clip_ratio/high_mean", part.share(Stats::kClipHigh, Stats::kLossTokens));
  report.set("clip_ratio/region_mean",
             report.get("clip_ratio/low_mean") + report.get("clip_ratio/high_mean"));
  report.set("mean_abs_advantage_ratio", part.share(Stats::kAbsAdvantageRatio, Stats::kLossTokens));
  report.set("cgi/injected_logp", part.share(Stats::kInjectedLogprob, Stats::kInjectedTokens));
  report.set("cgi/injected_ratio_clipped_frac",
             part.share(Stats::kInjectedClipped, Stats::kInjectedTokens));
  report.set("cgi/injected_entropy", part.share(Stats::kInjectedEntropy, Stats::kInjectedTokens));
  if (gap.count > 0) {
    report.set("sampling/sampling_logp_difference/mean", gap.sum / static_cast<double>(gap.count));
    report.set("sampling/sampling_logp_difference/max", gap.largest);
  }
  return report;
}

/// What the step's updates left of the coefficients that move.
StepReport describe_coefficients(const learner::Learner& learner,
                                 const algorithm::AlgorithmOptions& options) {
  StepReport report;
  if (!learner.coefficients()) return report;
  if (!options.kl_adaptive.is_null()) report.set("kl_coef", learner.coefficients()->kl);
  if (!options.adaptive_entropy.is_null())
    report.set("entropy_coef", learner.coefficients()->entropy);
  return report;
}

/// Sums, counts and the largest gap of all ranks.
void agree(distributed::Communicator& communicator, learner::UpdateReport& report) {
  for (learner::PartReport& part : report.parts) part.sums = communicator.reduce(part.sums);
  learner::SamplerGap& gap = report.gap;
  const auto sums = communicator.reduce({gap.sum, static_cast<double>(gap.count)});
  gap.sum = sums[0];
  gap.count = static_cast<int64_t>(sums[1]);
  gap.largest = communicator.reduce({gap.largest}, distributed::Reduction::kMax).front();
}

}  // namespace

algorithm::LossSettings loss_settings(const RunConfig& config) {
  return {.algorithm = config.algorithm,
          .injection = config.injection,
          .aggregation_constant = config.algorithm.aggregation_constant.value_or(
              static_cast<double>(config.rollout.max_new_tokens))};
}

StepReport update(
    State& state, std::vector<TrainRow> rows, const Retained& retained, bool is_sft, int64_t step) {
  const RunConfig& config = state.config;
  const algorithm::LossSettings settings = loss_settings(config);
  const learner::Passes passes{
      .epochs = is_sft ? 1 : config.algorithm.epochs_per_rollout,
      .minibatches = is_sft ? 1 : config.algorithm.minibatches_per_rollout};
  std::vector<learner::StepPart> parts = {
      {.rows = std::move(rows),
       .loss = is_sft ? algorithm::sft_settings(settings) : settings,
       .weight = retained.arm_weight,
       .scoring = state.scoring(is_sft)}};
  parts.insert(parts.end(), retained.parts.begin(), retained.parts.end());
  learner::UpdateReport done = state.learner->update(
      parts,
      passes,
      {.step = step,
       .steps = config.trainer.steps,
       .seed = static_cast<uint64_t>(config.seed),
       .lr = optim::learning_rate(config.optim, step - 1, config.trainer.steps)});
  state.timer.credit("logprob", done.scoring_seconds);
  agree(*state.communicator, done);
  state.progress.no_signal_steps += done.had_signal ? 0 : 1;
  state.progress.skipped_steps += done.skipped;
  note_skips(state, step, done.updates > 0 && done.skipped == done.updates);

  const learner::PartReport& sums = done.parts.front();
  const auto at_least_one = [](int64_t count) {
    return static_cast<double>(std::max<int64_t>(count, 1));
  };
  double loss = 0.0;
  for (size_t p = 0; p < parts.size(); ++p)
    loss += parts[p].weight * done.parts[p].at(Stats::kLoss);
  StepReport report;
  report.set("loss", loss / at_least_one(done.updates));
  for (size_t p = 1; p < parts.size(); ++p)
    report.set(parts[p].name + "/loss",
               done.parts[p].at(Stats::kLoss) / at_least_one(done.updates));
  report.set("grad_norm", done.grad_norm_sum / at_least_one(done.updates - done.skipped));
  if (config.algorithm.kl_coef > 0.0 && done.had_signal)
    report.set("kl", sums.share(Stats::kKl, Stats::kSampledTokens));
  if (!is_sft) report.merge(describe_coefficients(*state.learner, config.algorithm));
  report.merge(is_sft ? describe_supervised(sums) : describe_policy(sums, done.gap));
  return report;
}

}  // namespace sgrpo::trainer
