#include "sgrpo/learner/learner.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "learner/schedule.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/log.h"
#include "sgrpo/types/host_read.h"

namespace sgrpo::learner {
namespace {

using algorithm::LossStats;
using policy::PackedBatch;

std::vector<std::pair<std::string, at::Tensor>> parameters_of(policy::Policy& policy) {
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  for (const ParameterSegment& segment : policy.arena().segments)
    parameters.emplace_back(segment.name, segment.weight);
  if (parameters.empty()) {
    throw core::UserError(
        "model.freeze leaves no parameter to train: remove a module from the list");
  }
  return parameters;
}

std::vector<at::Tensor> weights_of(policy::Policy& policy) {
  std::vector<at::Tensor> weights;
  for (const ParameterSegment& segment : policy.arena().segments) weights.push_back(segment.weight);
  return weights;
}

/// |policy - sampler| of every decision, not finite where the sampler's is unknown; undefined where
/// none is known.
at::Tensor gap_of(const at::Tensor& logprobs, const at::Tensor& sampler) {
  return sampler.defined() ? (logprobs.detach() - sampler).abs() : at::Tensor();
}

/// `difference` as gap_of gives it, on the host.
void add_gap(SamplerGap& gap, const at::Tensor& difference) {
  const at::Tensor known = difference.masked_select(difference.isfinite()).to(at::kDouble);
  if (known.numel() == 0) return;
  gap.sum += known.sum().item<double>();
  gap.largest = std::max(gap.largest, known.max().item<double>());
  gap.count += known.numel();
}

/// `rank` and `number`, of the update within the step, tell apart what losses draw.
algorithm::StepContext context_of(const UpdateContext& update,
                                  const Denominators& denominators,
                                  int64_t rank,
                                  int64_t number) {
  return {.step = update.step,
          .steps = update.steps,
          .denominators = denominators,
          .statistics = {},
          .entropy_floor = std::nullopt,
          .key = {.seed = update.seed,
                  .step = static_cast<uint64_t>(update.step),
                  .prompt_index = static_cast<uint64_t>(rank),
                  .sample_index = static_cast<uint64_t>(number),
                  .purpose = core::Purpose::kLoss}};
}

/// The rows of all ranks under one another, in rank order. [rows, columns] f64 on the CPU.
at::Tensor gather_rows(const at::Tensor& rows, distributed::Communicator& communicator) {
  const at::Tensor own = rows.contiguous();
  const std::string bytes(reinterpret_cast<const char*>(own.const_data_ptr<double>()),
                          own.nbytes());
  std::vector<at::Tensor> all;
  for (std::string& part : communicator.all_gather_bytes(bytes)) {
    const auto numbers = static_cast<int64_t>(part.size() / sizeof(double));
    all.push_back(
        at::from_blob(part.data(), {numbers / own.size(1), own.size(1)}, at::kDouble).clone());
  }
  return at::cat(all);
}

bool needs_whole_groups(const algorithm::LossSettings& settings) {
  return algorithm::LossRegistry::get("loss", settings.algorithm.loss)(settings)
      ->needs_whole_groups();
}

/// Whether any rank has rows in this optimizer step.
bool holds_rows(const std::vector<Share>& shares) {
  return std::any_of(shares.begin(), shares.end(), [](const Share& share) {
    return share.denominators.sequences > 0;
  });
}

/// `given`, but `fresh` where it gives nothing.
at::Tensor filled(const at::Tensor& given, const at::Tensor& fresh) {
  return given.defined() ? at::where(given.isnan(), fresh, given) : fresh;
}

/// What advantages were made of was scored by the same parameters in other passes, whose last
/// digits may differ: a ratio is 1 where nothing has moved.
void forget_old(std::vector<PackedBatch>& mutable_batches) {
  for (PackedBatch& batch : mutable_batches) batch.loss.old_logprobs = at::Tensor();
}

/// Shares of a step's loss tokens are shares of all of them, whatever was worth a pass. The mean KL
/// is over the tokens that were scored: what others have is not known.
void count_left_out(int64_t left_out, PartReport& report) {
  report.sums[LossStats::kLossTokens] += static_cast<double>(left_out);
}

/// Gives every row its own values, which lie on the host.
void scatter(const at::Tensor& values,
             const LossBatch& batch,
             std::vector<std::vector<float>>& mutable_rows) {
  const at::Tensor host = values.to(at::kFloat).contiguous();
  const auto* data = host.const_data_ptr<float>();
  const auto bounds = batch.cu_seqlens.accessor<int32_t, 1>();
  for (int64_t b = 0; b < batch.num_sequences(); ++b) {
    mutable_rows[static_cast<size_t>(batch.row[static_cast<size_t>(b)])].assign(
        data + bounds[b], data + bounds[b + 1]);
  }
}

}  // namespace

/// What passes left on the device, to be read at once.
struct Learner::Unread {
  bool wants_gaps = false;                // of passes with gradient; else passes that score do
  std::vector<at::Tensor> sums = {};      // LossStats::sums of passes with gradient
  std::vector<PartReport*> reports = {};  // where they belong
  std::vector<at::Tensor> gaps = {};      // |policy - sampler|, [M] each

  void add_sums(const at::Tensor& values, PartReport& report) {
    sums.push_back(values);
    reports.push_back(&report);
  }
  void add_gap(const at::Tensor& difference) {
    if (difference.defined()) gaps.push_back(difference);
  }
};

Learner::Learner(std::unique_ptr<policy::Policy> policy,
                 const optim::OptimOptions& options,
                 const policy::Budget& budget,
                 distributed::Communicator& communicator)
    : policy_(std::move(policy)),
      optimizer_(parameters_of(*policy_), options),
      gradient_sum_(weights_of(*policy_)),
      budget_(budget),
      communicator_(communicator) {}

Learner::~Learner() = default;

void Learner::set_reference(std::unique_ptr<policy::Policy> reference) {
  reference_ = std::move(reference);
}

RowScores Learner::score(const std::vector<TrainRow>& rows,
                         const policy::ScoringOptions& scoring,
                         Who who) const {
  return score_with(who == Who::kCurrent ? *policy_ : *reference(), rows, scoring);
}

RowScores Learner::score(const std::vector<TrainRow>& rows,
                         const policy::ScoringOptions& scoring,
                         const std::string& frozen) const {
  return score_with(*frozen_.at(frozen).policy, rows, scoring);
}

RowScores Learner::score_with(const policy::Policy& scorer,
                              const std::vector<TrainRow>& rows,
                              const policy::ScoringOptions& scoring) const {
  const at::NoGradGuard no_grad;
  RowScores result;
  result.logprobs.resize(rows.size());
  result.entropy.resize(rows.size());
  for (const PackedBatch& batch : scorer.pack(rows, scoring, budget_)) {
    if (core::stop_requested()) throw core::Interrupted("stopped by a signal while scoring");
    const Scores scores = scorer.score(batch);
    const auto host = read_on_host({scores.logprobs, scores.entropy});
    scatter(host[0], batch.loss, result.logprobs);
    scatter(host[1], batch.loss, result.entropy);
  }
  return result;
}

/// Of several ranks none leaves alone while others may wait for it: they stop behind the step.
void Learner::stop_if_asked() const {
  if (core::stop_requested() && communicator_.size() == 1)
    throw core::Interrupted("stopped by a signal while scoring");
}

/// With one update per rollout the old log-probs are the detached current ones, so no pass is spent
/// on them.
void Learner::score_missing(std::vector<PackedBatch>& batches,
                            const StepPart& part,
                            bool needs_old,
                            Unread& unread) const {
  const at::NoGradGuard no_grad;
  const algorithm::AlgorithmOptions& options = part.loss.algorithm;
  const bool needs_reference = has_reference() && options.has_kl_loss();
  for (PackedBatch& batch : batches) {
    stop_if_asked();
    if (needs_old) {
      const at::Tensor fresh = policy_->score(batch).logprobs;
      unread.add_gap(gap_of(fresh, batch.loss.sampler_logprobs));
      batch.loss.old_logprobs = filled(batch.loss.old_logprobs, fresh);
    }
    if (needs_reference)
      batch.loss.ref_logprobs = filled(batch.loss.ref_logprobs, reference()->score(batch).logprobs);
  }
}

void Learner::begin() {
  if (is_pending_) return;
  optimizer_.zero_grad();
  is_pending_ = true;
  is_finite_ = true;
}

void Learner::add_gradient(const PackedBatch& batch,
                           const StepPart& part,
                           const algorithm::StepContext& context,
                           PartReport& report,
                           Unread& unread) {
  core::note_progress();
  const Scores scores = policy_->score(batch);
  if (unread.wants_gaps) unread.add_gap(gap_of(scores.logprobs, batch.loss.sampler_logprobs));
  const auto result = algorithm::batch_loss(scores, batch.loss, part.loss, context);
  // Nothing in this micro-batch leads to a parameter that trains (text before a frozen model).
  if (result.loss.requires_grad()) {
    (part.weight == 1.0 ? result.loss : result.loss * part.weight).backward();
  }
  unread.add_sums(result.stats.sums, report);
}

/// The one look at the device of an optimizer step.
void Learner::read(Unread& unread, SamplerGap& gap) {
  std::vector<at::Tensor> tensors = unread.sums;
  tensors.insert(tensors.end(), unread.gaps.begin(), unread.gaps.end());
  if (tensors.empty()) return;
  const std::vector<at::Tensor> host = read_on_host(tensors);
  for (size_t k = 0; k < unread.sums.size(); ++k) {
    const auto* sums = host[k].const_data_ptr<double>();
    for (int64_t i = 0; i < LossStats::kNumStats; ++i)
      unread.reports[k]->sums[static_cast<size_t>(i)] += sums[i];
    is_finite_ = is_finite_ && std::isfinite(sums[LossStats::kLoss]);
  }
  for (size_t k = unread.sums.size(); k < host.size(); ++k) add_gap(gap, host[k]);
  unread = {.wants_gaps = unread.wants_gaps};
}

/// What loss and options must know of all micro-batches and ranks of this optimizer step.
void Learner::add_statistics(const std::vector<PackedBatch>& batches,
                             const StepPart& part,
                             algorithm::StepContext& mutable_context) const {
  const std::vector<int64_t> columns = algorithm::statistics_columns(part.loss);
  if (columns.empty()) return;
  const at::NoGradGuard no_grad;
  std::vector<std::vector<at::Tensor>> tables;  // this rank may have no micro-batch
  for (const int64_t count : columns) tables.push_back({at::empty({0, count}, at::kDouble)});
  for (const PackedBatch& batch : batches) {
    stop_if_asked();
    const auto rows = read_on_host(
        algorithm::batch_statistics(policy_->score(batch), batch.loss, part.loss, mutable_context));
    for (size_t i = 0; i < rows.size(); ++i) tables[i].push_back(rows[i]);
  }
  std::vector<at::Tensor> gathered;
  for (const auto& table : tables) gathered.push_back(gather_rows(at::cat(table), communicator_));
  algorithm::add_statistics(gathered, part.loss, policy_->device(), mutable_context);
}

algorithm::AlgorithmOptions Learner::with_coefficients(
    const algorithm::AlgorithmOptions& options) const {
  return coefficients_ ? algorithm::with_coefficients(options, *coefficients_) : options;
}

/// The part as this optimizer step takes it, for what reads no rows.
StepPart Learner::without_rows(const StepPart& part) const {
  StepPart result{.rows = {},
                  .loss = part.loss,
                  .weight = part.weight,
                  .scoring = part.scoring,
                  .name = part.name};
  result.loss.algorithm = with_coefficients(part.loss.algorithm);
  return result;
}

/// What one optimizer step added to a part's sums moves the coefficients of the next one.
void Learner::move_coefficients(const algorithm::AlgorithmOptions& options,
                                const PartReport& before,
                                const PartReport& after,
                                int64_t completions) {
  const auto added = [&](LossStats::Index index) { return after.at(index) - before.at(index); };
  const std::vector<double> sums = communicator_.reduce({added(LossStats::kKl),
                                                         added(LossStats::kEntropy),
                                                         added(LossStats::kSampledTokens),
                                                         static_cast<double>(completions)});
  coefficients_ = algorithm::follow(
      *coefficients_,
      {.kl = sums[0], .entropy = sums[1], .tokens = sums[2], .completions = sums[3]},
      options);
}

PartReport Learner::accumulate(const StepPart& part, const UpdateContext& context) {
  policy::Budget budget = budget_;
  budget.whole_groups = needs_whole_groups(part.loss);
  const Schedule schedule = make_schedule({part}, 1, communicator_);
  algorithm::StepContext inner =
      context_of(context, schedule.shares.front().front().denominators, communicator_.rank(), 0);
  PartReport report;
  const StepPart current = without_rows(part);
  std::vector<PackedBatch> batches = policy_->pack(part.rows, part.scoring, budget);
  Unread unread;
  score_missing(batches, current, /*needs_old=*/false, unread);
  add_statistics(batches, current, inner);
  begin();
  for (const PackedBatch& batch : batches) add_gradient(batch, current, inner, report, unread);
  SamplerGap none;
  read(unread, none);
  return report;
}

ApplyReport Learner::apply(double lr) {
  SGRPO_CHECK(is_pending_, "apply without a gradient");
  is_pending_ = false;
  const bool all_finite =
      communicator_.reduce({is_finite_ ? 0.0 : 1.0}, distributed::Reduction::kMax).front() == 0.0;
  if (!all_finite) {
    core::warn("non-finite loss: this update is left out and counted");
    return {.grad_norm = 0.0, .skipped = true};
  }
  gradient_sum_.run(communicator_);
  const bool had_changed = std::exchange(is_mid_step_, true);
  const optim::OptimizerStep step = optimizer_.step(lr);
  if (step.skipped) {
    is_mid_step_ = had_changed;
    core::warn(
        "non-finite gradient, first in ", step.bad_tensor, ": this update is left out and counted");
  }
  return {.grad_norm = step.skipped ? 0.0 : step.grad_norm, .skipped = step.skipped};
}

UpdateReport Learner::update(const std::vector<StepPart>& parts,
                             const Passes& passes,
                             const UpdateContext& context) {
  UpdateReport report;
  report.parts.resize(parts.size());
  const Schedule schedule = make_schedule(parts, passes.minibatches, communicator_);
  report.had_signal = schedule.has_signal;
  if (!report.had_signal) return report;
  const auto start = std::chrono::steady_clock::now();
  const bool needs_old = passes.updates() > 1;
  const algorithm::AlgorithmOptions& arm = parts.front().loss.algorithm;
  const bool moves = algorithm::has_moving_coefficient(arm);
  if (moves && !coefficients_) coefficients_ = algorithm::first_coefficients(arm);
  Unread unread{.wants_gaps = !needs_old};
  std::vector<std::vector<std::vector<PackedBatch>>> packed(schedule.shares.size());
  for (size_t m = 0; m < schedule.shares.size(); ++m) {
    for (size_t p = 0; p < parts.size(); ++p) {
      policy::Budget budget = budget_;
      budget.whole_groups = needs_whole_groups(parts[p].loss);
      packed[m].push_back(policy_->pack(schedule.shares[m][p].rows, parts[p].scoring, budget));
      if (!needs_old) forget_old(packed[m].back());
      score_missing(packed[m].back(), parts[p], needs_old, unread);
    }
  }
  report.scoring_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (int64_t epoch = 0; epoch < passes.epochs; ++epoch) {
    for (size_t m = 0; m < packed.size(); ++m) {
      if (!holds_rows(schedule.shares[m])) continue;  // fewer groups than optimizer steps
      begin();
      const PartReport before = report.parts.front();
      for (size_t p = 0; p < parts.size(); ++p) {
        const StepPart part = without_rows(parts[p]);
        algorithm::StepContext inner = context_of(
            context, schedule.shares[m][p].denominators, communicator_.rank(), report.updates);
        add_statistics(packed[m][p], part, inner);
        for (const PackedBatch& batch : packed[m][p]) {
          add_gradient(batch, part, inner, report.parts[p], unread);
        }
        count_left_out(schedule.shares[m][p].left_out, report.parts[p]);
      }
      read(unread, report.gap);
      const ApplyReport applied = apply(context.lr);
      ++report.updates;
      report.skipped += applied.skipped;
      report.grad_norm_sum += applied.grad_norm;
      if (moves && !applied.skipped)
        move_coefficients(
            arm, before, report.parts.front(), schedule.shares[m].front().completions);
    }
  }
  return report;
}

}  // namespace sgrpo::learner
