#include <ATen/ATen.h>

#include <cmath>

#include "sgrpo/algorithm/packing.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/log.h"
#include "sgrpo/rollout/rollout.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

using Stats = algorithm::LossStats;

/// Micro-batches of one optimizer step.
using Minibatch = std::vector<TrainBatch>;

/// How often a step's groups are used: an SFT step is one update.
struct Passes {
  int64_t epochs = 1, minibatches = 1;
};
Passes passes_of(const Run& run, LossKind kind) {
  const algorithm::AlgorithmOptions& options = run.config.algorithm;
  if (kind == LossKind::kSft) return {};
  return {.epochs = options.epochs_per_rollout, .minibatches = options.minibatches_per_rollout};
}

/// Puts what forward passes read on the device: once, however many passes read it.
Minibatch on_device(Minibatch batches, at::Device device) {
  for (TrainBatch& batch : batches)
    batch.input = std::make_shared<const model::PackedTokens>(batch.input->to(device));
  return batches;
}

/// The step's groups in `num_parts` contiguous parts, packed. Groups without valid members are left
/// out.
std::vector<Minibatch> pack(const Run& run,
                            const std::vector<RolloutGroup>& groups,
                            int64_t num_parts) {
  std::vector<const RolloutGroup*> usable;
  for (const RolloutGroup& group : groups) {
    if (group.has_valid_members) usable.push_back(&group);
  }
  const algorithm::PackingOptions packing{
      .micro_batch_tokens = run.config.trainer.micro_batch_tokens,
      .share_prefix = run.config.model.share_prefix};
  const auto parts = static_cast<size_t>(num_parts);
  std::vector<Minibatch> result;
  for (size_t part = 0; part < parts; ++part) {
    const auto begin = static_cast<std::ptrdiff_t>(part * usable.size() / parts);
    const auto end = static_cast<std::ptrdiff_t>((part + 1) * usable.size() / parts);
    if (begin == end) continue;
    result.push_back(
        on_device(algorithm::pack_groups({usable.begin() + begin, usable.begin() + end}, packing),
                  run.policy.model->device()));
  }
  return result;
}

/// Log-probs under a frozen policy, for old and reference alike.
at::Tensor frozen_logprobs(const Run& run,
                           const model::Model& model,
                           const at::Tensor& masked_ids,
                           const TrainBatch& batch) {
  const at::NoGradGuard no_grad;
  return rollout::score(model, batch, masked_ids, run.config.rollout.temperature).logprobs;
}

/// |policy - sampler| over sampled tokens of the rollout policy.
struct SamplerGap {
  double sum = 0.0, largest = 0.0;
  int64_t count = 0;

  void add(const at::Tensor& logprobs, const at::Tensor& sampler) {
    if (!sampler.defined()) return;
    const at::Tensor gap = (logprobs.detach().cpu() - sampler.cpu()).abs();
    const at::Tensor known = gap.masked_select(gap.isfinite());
    if (known.numel() == 0) return;
    sum += known.to(at::kDouble).sum().item<double>();
    largest = std::max(largest, known.max().item<double>());
    count += known.numel();
  }
};

/// Sums of one optimizer step, and of all of a step's optimizer steps.
struct Totals {
  at::Tensor sums = at::zeros({Stats::kNumStats}, at::kDouble);
  double grad_norm = 0.0;
  int64_t updates = 0, skipped = 0;
  SamplerGap gap;

  double at(Stats::Index index) const { return sums.const_data_ptr<double>()[index]; }
  double share(Stats::Index index, Stats::Index of) const {
    return at(of) == 0.0 ? 0.0 : at(index) / at(of);
  }
};

bool has_signal(const Run& run, const std::vector<RolloutGroup>& groups, LossKind kind) {
  const algorithm::AlgorithmOptions& options = run.config.algorithm;
  if (kind == LossKind::kSft || options.kl_coef != 0.0 || options.entropy_coef != 0.0) return true;
  for (const RolloutGroup& group : groups) {
    for (const GroupMember& member : group.members) {
      if (member.advantage != 0.0) return true;
    }
  }
  return false;
}

/// Scores a micro-batch, notes its sums and returns its share of the loss.
at::Tensor loss_of(const Run& run, const TrainBatch& batch, LossKind kind, Totals& totals) {
  const rollout::Scores scores =
      rollout::score(*run.policy.model, batch, run.masked_ids, run.config.rollout.temperature);
  const auto result =
      kind == LossKind::kSft
          ? algorithm::sft_loss(scores.logprobs, scores.entropy, batch, run.loss)
          : algorithm::policy_loss(scores.logprobs, scores.entropy, batch, run.loss);
  totals.sums += result.stats.sums.cpu();
  if (!batch.old_logprobs.defined()) totals.gap.add(scores.logprobs, batch.sampler_logprobs);
  return result.loss;
}

/// Scores what the loss needs of policies that do not learn. With one update per rollout the old
/// log-probs are the detached current ones, so no pass is spent on them.
void score_frozen(Run& run, std::vector<Minibatch>& minibatches, LossKind kind, Totals& totals) {
  const Passes passes = passes_of(run, kind);
  const bool needs_old = passes.epochs * passes.minibatches > 1;
  for (Minibatch& minibatch : minibatches) {
    for (TrainBatch& batch : minibatch) {
      if (core::stop_requested()) throw core::Interrupted("stopped by a signal while scoring");
      if (needs_old) {
        batch.old_logprobs = frozen_logprobs(run, *run.policy.model, run.masked_ids, batch);
        totals.gap.add(batch.old_logprobs, batch.sampler_logprobs);
      }
      if (run.reference) {
        batch.ref_logprobs = frozen_logprobs(run, *run.reference, run.reference_masked_ids, batch);
      }
    }
  }
}

/// One optimizer step: gradients of all micro-batches summed, clipped, applied.
void optimize(Run& run, const Minibatch& minibatch, LossKind kind, double lr, Totals& totals) {
  run.optimizer->zero_grad();
  for (const TrainBatch& batch : minibatch) loss_of(run, batch, kind, totals).backward();
  const optim::OptimizerStep step = run.optimizer->step(lr);
  ++totals.updates;
  if (step.skipped) {
    ++totals.skipped;
    core::warn(
        "non-finite gradient, first in ", step.bad_tensor, ": this update is left out and counted");
  } else {
    totals.grad_norm += step.grad_norm;
  }
}

/// The same numbers without a gradient, for a step that has none.
void observe(const Run& run, const Minibatch& minibatch, LossKind kind, Totals& totals) {
  const at::NoGradGuard no_grad;
  for (const TrainBatch& batch : minibatch) loss_of(run, batch, kind, totals);
}

StepReport describe(const Run& run, const Totals& totals, LossKind kind) {
  const double updates = static_cast<double>(std::max<int64_t>(totals.updates, 1));
  StepReport report;
  report.set("loss", totals.at(Stats::kLoss) / updates);
  report.set("grad_norm",
             totals.grad_norm /
                 static_cast<double>(std::max<int64_t>(totals.updates - totals.skipped, 1)));
  report.set("entropy", totals.share(Stats::kEntropy, Stats::kSampledTokens));
  if (run.reference) report.set("kl", totals.share(Stats::kKl, Stats::kSampledTokens));
  if (kind == LossKind::kSft) return report;
  report.set("clip_ratio/low_mean", totals.share(Stats::kClipLow, Stats::kLossTokens));
  report.set("clip_ratio/high_mean", totals.share(Stats::kClipHigh, Stats::kLossTokens));
  report.set("clip_ratio/region_mean",
             report.get("clip_ratio/low_mean") + report.get("clip_ratio/high_mean"));
  report.set("mean_abs_advantage_ratio",
             totals.share(Stats::kAbsAdvantageRatio, Stats::kLossTokens));
  report.set("cgi/injected_logp", totals.share(Stats::kInjectedLogprob, Stats::kInjectedTokens));
  report.set("cgi/injected_ratio_clipped_frac",
             totals.share(Stats::kInjectedClipped, Stats::kInjectedTokens));
  report.set("cgi/injected_entropy", totals.share(Stats::kInjectedEntropy, Stats::kInjectedTokens));
  const double known = static_cast<double>(std::max<int64_t>(totals.gap.count, 1));
  report.set("sampling/sampling_logp_difference/mean", totals.gap.sum / known);
  report.set("sampling/sampling_logp_difference/max", totals.gap.largest);
  return report;
}

}  // namespace

StepReport update_policy(Run& run,
                         const std::vector<RolloutGroup>& groups,
                         LossKind kind,
                         int64_t step) {
  const Passes passes = passes_of(run, kind);
  std::vector<Minibatch> minibatches = pack(run, groups, passes.minibatches);
  Totals totals;
  run.timer.begin("logprob");
  score_frozen(run, minibatches, kind, totals);
  run.timer.begin("update");
  if (!has_signal(run, groups, kind)) {
    for (const Minibatch& minibatch : minibatches) observe(run, minibatch, kind, totals);
    ++run.no_signal_steps;
    return describe(run, totals, kind);
  }
  const double lr = optim::learning_rate(run.config.optim, step - 1, run.config.trainer.steps);
  for (int64_t epoch = 0; epoch < passes.epochs; ++epoch) {
    for (const Minibatch& minibatch : minibatches) optimize(run, minibatch, kind, lr, totals);
  }
  run.skipped_steps += totals.skipped;
  return describe(run, totals, kind);
}

}  // namespace sgrpo::trainer
