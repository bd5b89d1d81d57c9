// OPMD, off-policy mirror descent, on the sequence's log-prob l = sum log p:
//   -A l / (1 + tau) + (b / 2) (l - l_old)^2
// Wants seq_mean_token_sum: the quadratic part is spread evenly over the sequence's tokens, so that
// their sum is the sequence's. Defaults tau 1, b 0 are the form of Trinity-RFT; b > 0 is the
// paper's regulariser (there tau 0), whose value is not known to us.
// Source: arXiv 2509.24203, section on OPMD; l as the sequence's sum is our reading.
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class Opmd final : public TokenLoss {
 public:
  Opmd(const LossSettings& /*settings*/, MethodParams& params)
      : tau_(params.number("tau", 1.0, 0.0, 1e6)), b_(params.number("b", 0.0, 0.0, 1e6)) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const LossBatch& batch = inputs.batch;
    const at::Tensor gain = -batch.advantages * inputs.policy / (1 + tau_);
    if (b_ == 0) return gain;
    const at::Tensor moved = sum_over_sequence(inputs.policy - inputs.old, batch);
    const at::Tensor length = sum_over_sequence(at::ones_like(moved), batch).clamp_min(1);
    return gain + b_ / 2 * moved * moved / length;
  }

  bool learns_without_advantage() const override { return b_ > 0; }

 private:
  double tau_, b_;
};

SGRPO_REGISTER_LOSS("opmd", Opmd);

}  // namespace
}  // namespace sgrpo::algorithm
