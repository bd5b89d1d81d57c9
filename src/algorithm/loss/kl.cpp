// Nothing but the KL term, which kl_settings() sets: samples of the policy are held to the
// reference, whatever they earn.
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class Kl final : public TokenLoss {
 public:
  Kl(const LossSettings& /*settings*/, MethodParams& /*params*/) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    return at::zeros_like(inputs.policy);
  }
  bool learns_without_advantage() const override { return true; }
  bool is_part_only() const override { return true; }
};

SGRPO_REGISTER_LOSS("kl", Kl);

}  // namespace
}  // namespace sgrpo::algorithm
