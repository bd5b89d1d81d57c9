// Rank-GRPO's ratio: that of a list item is the geometric mean over its tokens,
//   -min(s_k A, clip(s_k) A),  s_k = exp(mean over the item's tokens of log p - log p_old)
// A token of no item keeps its own ratio. Source: yaochenzhu/Rank-GRPO (importance sampling by
// item; there tokens between items have no part in the loss at all).
#include "algorithm/loss/clip_range.h"

namespace sgrpo::algorithm {
namespace {

/// The mean over the tokens of each token's item, which stand side by side; the token's own outside
/// items.
at::Tensor mean_over_unit(const at::Tensor& values, const LossBatch& batch) {
  const int64_t count = batch.num_decisions();
  if (!batch.unit.defined() || count == 0) return values;
  const auto differs = [&](const at::Tensor& names) {
    return names.narrow(0, 1, count - 1) != names.narrow(0, 0, count - 1);
  };
  const at::Tensor begins = differs(batch.unit) | differs(batch.sequence_index);
  const at::Tensor item =
      at::cat({at::zeros({1}, batch.unit.options()), begins.to(at::kLong)}).cumsum(0);
  const at::Tensor counted = (batch.unit >= 0) & batch.in_loss();
  const auto sums_of = [&](const at::Tensor& terms) {
    return at::zeros({count}, terms.options()).index_add(0, item, at::where(counted, terms, 0.0));
  };
  const at::Tensor means = sums_of(values) / sums_of(at::ones_like(values)).clamp_min(1);
  return at::where(counted, means.index_select(0, item), values);
}

class Rank final : public TokenLoss {
 public:
  Rank(const LossSettings& settings, MethodParams& /*params*/) : range_(settings) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    return -range_.objective(ratio(inputs), inputs.batch);
  }

  at::Tensor ratio(const LossInputs& inputs) const override {
    const at::Tensor mean = mean_over_unit(inputs.policy - inputs.old, inputs.batch);
    return ratio_of(mean, at::zeros_like(mean));
  }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    return range_.flags(ratio(inputs), inputs.batch);
  }
  bool reads_units() const override { return true; }

 private:
  ClipRange range_;
};

SGRPO_REGISTER_LOSS("rank", Rank);

}  // namespace
}  // namespace sgrpo::algorithm
