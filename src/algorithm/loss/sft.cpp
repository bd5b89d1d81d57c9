// -log p of given tokens. Normalised over all of them (sft_settings), never as a mean of
// micro-batch means: gradients of k micro-batches add up to the full batch's. With `phi` each token
// is weighed by p (1 - p), detached (CHORD, arXiv 2508.11408).
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class Sft final : public TokenLoss {
 public:
  Sft(const LossSettings& /*settings*/, MethodParams& params) : phi_(params.flag("phi", false)) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    if (!phi_) return -inputs.policy;
    const at::Tensor p = inputs.policy.detach().exp();
    return -p * (1 - p) * inputs.policy;
  }
  bool learns_without_advantage() const override { return true; }
  bool is_part_only() const override { return true; }

 private:
  bool phi_;
};

SGRPO_REGISTER_LOSS("sft", Sft);

}  // namespace
}  // namespace sgrpo::algorithm
