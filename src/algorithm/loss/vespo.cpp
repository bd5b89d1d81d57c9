// VESPO: the log-prob weighed with a gamma-shaped function of the whole sequence's ratio w:
//   -phi(w) A log p,  phi(w) = sg[exp(lambda + k log w - lambda w)],  phi(1) = 1
// log w is the sum over the sequence of log-ratios (each clamped to +-20), plus those of
// algorithm.tis, which the loss takes in itself, the sum clamped to [log 1e-8, 20]; a phi that is
// not finite is 0. (k, lambda) = (k_pos, lambda_pos) where A >= 0, else (k_neg, lambda_neg).
// Source: arXiv 2602.10693; the defaults 2, 3, 3, 2 are TRL's. Equal to TRL's, whose normaliser is
// token_mean.
#include <cmath>

#include "algorithm/loss/terms.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/names.h"

namespace sgrpo::algorithm {
namespace {

constexpr double kHighestLog = 20.0;

class Vespo final : public TokenLoss {
 public:
  Vespo(const LossSettings& settings, MethodParams& params)
      : k_pos_(params.number("k_pos", 2.0, 0.0, 1e3)),
        lambda_pos_(params.number("lambda_pos", 3.0, 1e-4, 1e3)),
        k_neg_(params.number("k_neg", 3.0, 0.0, 1e3)),
        lambda_neg_(params.number("lambda_neg", 2.0, 1e-4, 1e3)) {
    const TisMode mode = settings.algorithm.tis.mode;
    if (mode == TisMode::kSequenceTruncate || mode == TisMode::kSequenceMask) {
      throw core::UserError(core::str("algorithm.tis.mode is ",
                                      core::name_of(mode),
                                      ": loss vespo sums the tokens' ratios over the sequence "
                                      "itself; expected token_truncate, token_mask or off"));
    }
  }

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const at::Tensor& advantages = inputs.batch.advantages;
    return -phi(inputs) * advantages * inputs.policy;
  }

  bool takes_correction() const override { return true; }

 private:
  at::Tensor phi(const LossInputs& inputs) const {
    const double lowest_log = std::log(1e-8);
    at::Tensor log_ratio = (inputs.policy.detach() - inputs.old).clamp(-kHighestLog, kHighestLog);
    if (inputs.correction.defined())
      log_ratio = log_ratio + inputs.correction.log().clamp(lowest_log, kHighestLog);
    const at::Tensor log_w =
        sum_over_sequence(log_ratio, inputs.batch).clamp(lowest_log, kHighestLog);
    const at::Tensor is_positive = inputs.batch.advantages >= 0;
    const auto by_sign = [&](double positive, double negative) {
      return at::where(is_positive,
                       at::full({}, positive, log_w.options()),
                       at::full({}, negative, log_w.options()));
    };
    const at::Tensor lambda = by_sign(lambda_pos_, lambda_neg_);
    const at::Tensor log_phi = lambda + by_sign(k_pos_, k_neg_) * log_w - lambda * log_w.exp();
    return log_phi.exp().nan_to_num(0.0, 0.0, 0.0);
  }

  double k_pos_, lambda_pos_, k_neg_, lambda_neg_;
};

SGRPO_REGISTER_LOSS("vespo", Vespo);

}  // namespace
}  // namespace sgrpo::algorithm
