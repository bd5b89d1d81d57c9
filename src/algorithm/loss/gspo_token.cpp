// GSPO-token: the value of GSPO's sequence ratio s, with a gradient of each token's own:
//   -min(s_t A_t, clip(s_t) A_t),  s_t = sg[s] exp(log p_t - sg[log p_t])
// so advantages may differ by token. With one advantage a sequence, seq_mean_token_mean gives
// GSPO's value and gradient. Source: arXiv 2507.18071, eq. 13-14 (clip 3e-4 / 4e-4, no KL). verl's
// `gspo` is this form; it bounds log s_t by 10, we by 20.
#include "algorithm/loss/clip_range.h"

namespace sgrpo::algorithm {
namespace {

class GspoToken final : public TokenLoss {
 public:
  GspoToken(const LossSettings& settings, MethodParams& /*params*/) : range_(settings) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    return -range_.objective(ratio(inputs), inputs.batch);
  }

  at::Tensor ratio(const LossInputs& inputs) const override {
    return sequence_ratio(inputs).detach() * (inputs.policy - inputs.policy.detach()).exp();
  }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    return range_.flags(ratio(inputs), inputs.batch);
  }

 private:
  ClipRange range_;
};

SGRPO_REGISTER_LOSS("gspo_token", GspoToken);

}  // namespace
}  // namespace sgrpo::algorithm
