// REAL: the members of a group as positives (A > 0) and negatives by the mean log-ratio s of their
// tokens:
//   log(1 + sum over positives of exp(-s / tau)) + log(1 + sum over negatives of exp(s / tau))
// and the mean over the groups that have both, of all ranks, whatever `aggregation` says; the
// others are dead. tau 0.5 and the split by sign are ms-swift's, which divides by all groups.
// Source: arXiv 2602.05630; its own values were not read.
#include <limits>

#include "algorithm/loss/groups.h"
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class Real final : public TokenLoss {
 public:
  Real(const LossSettings& settings, MethodParams& params)
      : settings_(settings), tau_(params.number("tau", 0.5, 1e-3, 1e3)) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const LossBatch& batch = inputs.batch;
    const Groups groups = groups_of(batch);
    const at::Tensor lengths = sequence_sums(at::ones_like(inputs.policy), batch).clamp_min(1);
    const at::Tensor score =
        (sequence_sums(inputs.policy - inputs.old, batch) / lengths).clamp(-20, 20) / tau_;
    const at::Tensor is_positive = sequence_sums(batch.advantages, batch) > 0;
    const at::Tensor alive = is_alive(is_positive, groups);
    const at::Tensor losses = at::where(
        alive, one_plus(-score, is_positive, groups) + one_plus(score, ~is_positive, groups), 0.0);
    const auto num_alive = static_cast<double>(std::max<int64_t>(num_rows(inputs), 1));
    // Each token's share, by which the aggregation will multiply, is divided out.
    const at::Tensor share = losses / (groups.sizes.clamp_min(1) * num_alive);
    const at::Tensor per_sequence =
        at::cat({share, at::zeros({1}, share.options())}).index_select(0, groups.of_sequence) /
        lengths;
    LossBatch unweighted = batch;
    unweighted.weight = batch.in_loss().to(batch.weight.scalar_type());
    const at::Tensor weights = aggregation_weights(
        unweighted, inputs.context.denominators, settings_, per_sequence.scalar_type());
    return per_sequence.index_select(0, batch.sequence_index) /
           at::where(weights > 0, weights, 1.0);
  }

  bool needs_whole_groups() const override { return true; }

  int64_t num_statistics() const override { return 1; }
  at::Tensor statistics(const LossInputs& inputs) const override {
    const Groups groups = groups_of(inputs.batch);
    const at::Tensor alive =
        is_alive(sequence_sums(inputs.batch.advantages, inputs.batch) > 0, groups);
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    return at::where(alive, at::ones({1}, inputs.policy.options().dtype(at::kDouble)), kNone)
        .unsqueeze(1);
  }

 private:
  static int64_t num_rows(const LossInputs& inputs) {
    TORCH_CHECK_VALUE(inputs.context.statistics.defined(), "loss real: no statistics in context");
    return inputs.context.statistics.size(0);
  }

  /// [G] bool: groups with members of both kinds.
  static at::Tensor is_alive(const at::Tensor& is_positive, const Groups& groups) {
    const at::Tensor positives = by_group(is_positive.to(at::kLong), groups, 0).sum(1);
    return (positives > 0) & (positives < groups.sizes);
  }

  /// log(1 + sum over the chosen members of exp(score)), [B] -> [G].
  static at::Tensor one_plus(const at::Tensor& score,
                             const at::Tensor& is_chosen,
                             const Groups& groups) {
    constexpr double kNone = -std::numeric_limits<double>::infinity();
    const at::Tensor chosen = by_group(at::where(is_chosen, score, kNone), groups, kNone);
    return at::logsumexp(at::cat({at::zeros({groups.count, 1}, chosen.options()), chosen}, 1), 1);
  }

  LossSettings settings_;
  double tau_;
};

SGRPO_REGISTER_LOSS("real", Real);

}  // namespace
}  // namespace sgrpo::algorithm
