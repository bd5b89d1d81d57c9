// FIPO: the clipped loss of a token weighed with what its future does,
//   F_t = sum over k >= t of gamma^(k - t) (log p_k - log p_old,k),  gamma = 2^(-1 / half_life)
// (tokens with a ratio above clip_dual count 0), weight = sg[clip(exp(F_t), 1, 1 + range)], from
// 1 - range on with high_only false. Where A < 0 and the ratio is above `safe_ratio` the weight is
// held within [0.8, 1]. Source: arXiv 2603.19835; defaults 32, 0.2, true, 4.0 are those of
// ms-swift, to which ours is equal (its divisor is token_mean); the paper's own were not read.
#include <cmath>

#include "algorithm/loss/clip_range.h"

namespace sgrpo::algorithm {
namespace {

/// sum over k >= t within the sequence of gamma^(k - t) values_k: each round doubles the window.
at::Tensor discounted_future(at::Tensor values, const LossBatch& batch, double gamma) {
  const int64_t count = values.size(0);
  const at::Tensor& sequence = batch.sequence_index;
  const int64_t longest = count == 0 ? 0 : batch.cu_seqlens.diff().max().item<int64_t>();
  for (int64_t shift = 1; shift < longest; shift *= 2) {
    const int64_t rest = count - shift;
    const at::Tensor is_own = sequence.narrow(0, shift, rest) == sequence.narrow(0, 0, rest);
    const at::Tensor later = at::where(is_own, values.narrow(0, shift, rest), 0.0);
    values = values.clone();
    values.narrow(0, 0, rest).add_(later, std::pow(gamma, static_cast<double>(shift)));
  }
  return values;
}

class Fipo final : public TokenLoss {
 public:
  Fipo(const LossSettings& settings, MethodParams& params)
      : range_(settings),
        dual_(settings.algorithm.clip_dual),
        gamma_(std::exp2(-1.0 / params.number("half_life", 32.0, 1e-3, 1e6))),
        width_(params.number("range", 0.2, 0.0, 1.0)),
        high_only_(params.flag("high_only", true)),
        safe_ratio_(params.number("safe_ratio", 4.0, 1.0, 1e9)) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    return -range_.objective(ratio(inputs), inputs.batch) * weight(inputs);
  }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    return range_.flags(ratio(inputs), inputs.batch);
  }

 private:
  at::Tensor weight(const LossInputs& inputs) const {
    const at::NoGradGuard no_grad;
    const at::Tensor ratios = ratio(inputs);
    at::Tensor moved = at::where(inputs.batch.in_loss(), inputs.policy - inputs.old, 0.0);
    if (dual_) moved = at::where(ratios > *dual_, 0.0, moved);
    const at::Tensor plain = discounted_future(moved, inputs.batch, gamma_)
                                 .exp()
                                 .clamp(high_only_ ? 1.0 : 1.0 - width_, 1.0 + width_);
    const at::Tensor is_unsafe = (inputs.batch.advantages < 0) & (ratios > safe_ratio_);
    return at::where(is_unsafe, plain.clamp(0.8, 1.0), plain);
  }

  ClipRange range_;
  std::optional<double> dual_;
  double gamma_, width_;
  bool high_only_;
  double safe_ratio_;
};

SGRPO_REGISTER_LOSS("fipo", Fipo);

}  // namespace
}  // namespace sgrpo::algorithm
