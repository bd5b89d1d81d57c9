// KL-Cov: no clip; the tokens whose advantage and log-prob go together most pay a penalty,
//   -rho A, plus coef |log p - log p_old| for the `share` of largest covariance
//   cov_t = (A_t - mean A)(log p_t - mean log p)
// with means and share over the loss tokens of the whole optimizer step, at least one token; tokens
// with equal covariance at the border are all taken. Source: arXiv 2505.22617; share 0.0002 and
// coef 1 are verl's defaults, whose means and share are the micro-batch's.
#include "algorithm/loss/covariance.h"
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class KlCov final : public TokenLoss {
 public:
  KlCov(const LossSettings& /*settings*/, MethodParams& params)
      : share_(params.number("share", 0.0002, 0.0, 1.0)),
        coef_(params.number("coef", 1.0, 0, 1e6)) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const at::Tensor& all = inputs.context.statistics;
    const at::Tensor own = covariance_of_batch(inputs);
    const at::Tensor plain = -ratio(inputs) * inputs.batch.advantages;
    if (all.size(0) == 0) return plain;
    const at::Tensor lowest = border(covariance(all, all), share_of(share_, all.size(0)));
    const at::Tensor distance = (inputs.policy - inputs.old).abs();
    return at::where(own >= lowest, plain + coef_ * distance, plain);
  }

  int64_t num_statistics() const override { return 2; }
  at::Tensor statistics(const LossInputs& inputs) const override {
    return covariance_columns(inputs);
  }

 private:
  /// Half way between the `taken` largest values and the rest, so that a last digit, which differs
  /// between a pass with and one without gradient, moves no token over it.
  static at::Tensor border(const at::Tensor& values, int64_t taken) {
    if (taken >= values.numel()) return values.min() - 1;
    const at::Tensor highest = std::get<0>(values.topk(taken + 1));
    return (highest[taken - 1] + highest[taken]) / 2;
  }

  double share_, coef_;
};

SGRPO_REGISTER_LOSS("kl_cov", KlCov);

}  // namespace
}  // namespace sgrpo::algorithm
