// SAPO, a soft gate in place of the clip:
//   -(4 / tau) sigmoid(tau (rho - 1)) A,  tau = temperature_pos where A > 0, else temperature_neg
// The gate's slope at rho = 1 is 1, so that the gradient there is that of rho A; far from 1 it
// vanishes. Wants seq_mean_token_mean. `sequence_ratio` takes GSPO's ratio of the sequence in place
// of rho (TRL's importance_sampling_level). Source: arXiv 2511.20347; temperatures 1.0 and 1.05 are
// TRL's defaults (the paper's own text was not read). verl's and TRL's forms are the same.
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class Sapo final : public TokenLoss {
 public:
  Sapo(const LossSettings& /*settings*/, MethodParams& params)
      : positive_(params.number("temperature_pos", 1.0, 1e-3, 1e3)),
        negative_(params.number("temperature_neg", 1.05, 1e-3, 1e3)),
        is_sequence_(params.flag("sequence_ratio", false)) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const at::Tensor& advantages = inputs.batch.advantages;
    const at::Tensor tau = at::where(advantages > 0,
                                     at::full({}, positive_, advantages.options()),
                                     at::full({}, negative_, advantages.options()));
    return -(at::sigmoid(tau * (ratio(inputs) - 1)) * 4 / tau) * advantages;
  }

  at::Tensor ratio(const LossInputs& inputs) const override {
    return is_sequence_ ? sequence_ratio(inputs) : TokenLoss::ratio(inputs);
  }

 private:
  double positive_, negative_;
  bool is_sequence_;
};

SGRPO_REGISTER_LOSS("sapo", Sapo);

}  // namespace
}  // namespace sgrpo::algorithm
