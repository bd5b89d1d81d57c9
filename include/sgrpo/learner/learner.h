// One trainable policy with its optimizer, its gradient and its KL reference. There is no other way
// to the parameters than `accumulate` and `apply`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sgrpo/algorithm/coefficients.h"
#include "sgrpo/algorithm/loss.h"
#include "sgrpo/distributed/communicator.h"
#include "sgrpo/optim/gradient_sum.h"
#include "sgrpo/optim/optimizer.h"
#include "sgrpo/policy/policy.h"
#include "sgrpo/types/train_row.h"

namespace sgrpo::learner {

/// Rows that a step learns from, with the loss that they take: those of this rank. Parts are
/// packed, counted and aggregated apart; their gradients add. Groups are numbered over all ranks.
struct StepPart {
  std::vector<TrainRow> rows;
  algorithm::LossSettings loss;
  double weight = 1.0;
  policy::ScoringOptions scoring;
  std::string name = {};  // of its metrics, for those beside the rollouts
};

/// How often a step's rows are used: a group goes to optimizer step
/// floor(position * minibatches / groups) of each epoch, with its position among those of all
/// ranks.
struct Passes {
  int64_t epochs = 1;
  int64_t minibatches = 1;
  int64_t updates() const { return epochs * minibatches; }
};

/// Where in the run an update stands.
struct UpdateContext {
  int64_t step = 1, steps = 1;
  uint64_t seed = 0;
  double lr = 0.0;
};

/// Sums of one part over its optimizer steps.
struct PartReport {
  std::vector<double> sums = std::vector<double>(algorithm::LossStats::kNumStats, 0.0);

  double at(algorithm::LossStats::Index index) const { return sums[static_cast<size_t>(index)]; }
  /// at(index) / at(of); 0 where there is nothing to divide by.
  double share(algorithm::LossStats::Index index, algorithm::LossStats::Index of) const {
    return at(of) == 0.0 ? 0.0 : at(index) / at(of);
  }
};

/// |policy - sampler| over sampled tokens of the rollout policy, of the groups that were packed.
struct SamplerGap {
  double sum = 0.0, largest = 0.0;
  int64_t count = 0;
};

/// What one optimizer step did.
struct ApplyReport {
  double grad_norm = 0.0;  // before clipping
  bool skipped = false;    // non-finite: parameters, moments and count are untouched
};

/// What an update did.
struct UpdateReport {
  std::vector<PartReport> parts;
  int64_t updates = 0, skipped = 0;  // optimizer steps, and those left out for a non-finite number
  double grad_norm_sum = 0.0;        // over the others, before clipping
  bool had_signal = true;            // false: nothing changed, nothing was counted
  SamplerGap gap;
  double scoring_seconds = 0.0;  // of packing, and of scoring what does not learn
};

/// Log-probs and entropies per row, in the rows' order.
struct RowScores {
  std::vector<std::vector<float>> logprobs;
  std::vector<std::vector<float>> entropy;
};

/// A policy that does not learn. With a decay it follows the learner's: every so many steps each of
/// its weights becomes decay * own + (1 - decay) * learner's.
struct FrozenPolicy {
  std::unique_ptr<policy::Policy> policy;
  std::optional<double> decay = {};
  int64_t every = 1;
};

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Which policy scores.
enum class Who { kCurrent, kReference };

class Learner {
 public:
  Learner(std::unique_ptr<policy::Policy> policy,
          const optim::OptimOptions& options,
          const policy::Budget& budget,
          distributed::Communicator& communicator);
  ~Learner();

  const policy::Policy& policy() const { return *policy_; }
  /// What KL terms compare with.
  void set_reference(std::unique_ptr<policy::Policy> reference);
  bool has_reference() const { return reference() != nullptr; }
  /// Takes a frozen policy under a name. Throws core::UserError for one that moves and has weights
  /// of fewer digits than f32, which would never move.
  void add_frozen(const std::string& name, FrozenPolicy frozen);
  /// KL terms compare with this one of them.
  void refer_to(const std::string& frozen) { referred_ = frozen; }

  /// Log-probs and entropies of every decision of `rows`, without gradient.
  RowScores score(const std::vector<TrainRow>& rows,
                  const policy::ScoringOptions& scoring,
                  Who who) const;
  /// The same under the frozen policy of that name.
  RowScores score(const std::vector<TrainRow>& rows,
                  const policy::ScoringOptions& scoring,
                  const std::string& frozen) const;

  /// All optimizer steps of one step. Groups in which nothing can change a parameter are left out,
  /// but counted in every denominator. Old log-probs are scored where several updates need them; of
  /// a single one they are its own, detached, whatever the rows hold. Reference ones are scored
  /// where the loss has a KL term. A step in which no part has a signal on any rank
  /// changes nothing. A non-finite loss or gradient leaves its update out on all ranks.
  UpdateReport update(const std::vector<StepPart>& parts,
                      const Passes& passes,
                      const UpdateContext& context);

  /// Adds the gradient of one part to what is pending: packs and counts its own rows, over all
  /// ranks, and leaves nothing out.
  PartReport accumulate(const StepPart& part, const UpdateContext& context);
  /// Applies what is pending, clipped, with this learning rate; a non-finite loss or gradient on
  /// any rank leaves it out on all.
  ApplyReport apply(double lr);
  /// Whether a gradient waits for `apply`. Such a learner is never saved.
  bool is_pending() const { return is_pending_; }
  /// Forgets it: for a step that failed.
  void drop_gradient() { is_pending_ = false; }

  /// `options` with the coefficients that move as the optimizer steps so far left them.
  algorithm::AlgorithmOptions with_coefficients(const algorithm::AlgorithmOptions& options) const;
  /// They, once an optimizer step has moved them.
  const std::optional<algorithm::Coefficients>& coefficients() const { return coefficients_; }

  /// Whether parameters may be those of a step that has not ended. Such a learner is no state to go
  /// on from.
  bool is_mid_step() const { return is_mid_step_; }
  /// All updates of the step are done: frozen policies that are due follow.
  void end_step(int64_t step);

  /// Number of optimizer steps done.
  int64_t num_updates() const { return optimizer_.count(); }

  /// What a checkpoint must hold beside the model folder: moments, weights that the folder rounds,
  /// and coefficients that move.
  std::vector<std::pair<std::string, at::Tensor>> state() const;
  checkpoint::ModelWriter writer() const { return policy_->writer(); }
  /// Of the frozen policies that move, by name, what of them moves.
  std::map<std::string, NamedTensors> frozen_state() const;
  /// Takes back what frozen_state() gave of one. Throws core::UserError, with `where`, if it is of
  /// another model.
  void load_frozen(const std::string& name, const NamedTensors& state, const std::string& where);
  /// Takes over a checkpoint's `model` folder and what state() gave. `run` names the run in
  /// messages. Throws core::UserError if they are of another model.
  void load_state(const std::filesystem::path& model,
                  const std::vector<std::pair<std::string, at::Tensor>>& state,
                  const std::string& run);

 private:
  struct Unread;
  /// Null where nothing is compared with.
  const policy::Policy* reference() const;
  RowScores score_with(const policy::Policy& scorer,
                       const std::vector<TrainRow>& rows,
                       const policy::ScoringOptions& scoring) const;
  void begin();
  StepPart without_rows(const StepPart& part) const;
  void move_coefficients(const algorithm::AlgorithmOptions& options,
                         const PartReport& before,
                         const PartReport& after,
                         int64_t completions);
  void stop_if_asked() const;
  void add_gradient(const policy::PackedBatch& batch,
                    const StepPart& part,
                    const algorithm::StepContext& context,
                    PartReport& mutable_report,
                    Unread& mutable_unread);
  void read(Unread& mutable_unread, SamplerGap& mutable_gap);
  void add_statistics(const std::vector<policy::PackedBatch>& batches,
                      const StepPart& part,
                      algorithm::StepContext& mutable_context) const;
  void score_missing(std::vector<policy::PackedBatch>& mutable_batches,
                     const StepPart& part,
                     bool needs_old,
                     Unread& mutable_unread) const;

  std::unique_ptr<policy::Policy> policy_, reference_;
  std::map<std::string, FrozenPolicy> frozen_;
  std::string referred_;  // one of them that is the reference; "" = reference_
  optim::AdamW optimizer_;
  std::optional<algorithm::Coefficients> coefficients_;
  optim::GradientSum gradient_sum_;
  policy::Budget budget_;
  distributed::Communicator& communicator_;
  bool is_pending_ = false;
  bool is_finite_ = true;  // every loss since the last apply
  bool is_mid_step_ = false;
};

}  // namespace sgrpo::learner
