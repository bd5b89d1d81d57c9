// -log p of given tokens. Normalised over all of them (sft_settings), never as a mean of
// micro-batch means: gradients of k micro-batches add up to the full batch's.
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class Sft final : public TokenLoss {
 public:
  Sft(const LossSettings& /*settings*/, MethodParams& /*params*/) {}

  at::Tensor token_loss(const LossInputs& inputs) const override { return -inputs.policy; }
  bool learns_without_advantage() const override { return true; }
  bool is_part_only() const override { return true; }
};

SGRPO_REGISTER_LOSS("sft", Sft);

}  // namespace
}  // namespace sgrpo::algorithm
