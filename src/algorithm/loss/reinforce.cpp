// -A log p: no ratio, so old log-probs and clip_* have no effect. With seq_mean_token_sum this is
// the sequence-level REINFORCE of RLOO. Source: arXiv 2402.14740.
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

class Reinforce final : public TokenLoss {
 public:
  Reinforce(const LossSettings& /*settings*/, MethodParams& /*params*/) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    return -inputs.batch.advantages * inputs.policy;
  }
};

SGRPO_REGISTER_LOSS("reinforce", Reinforce);

}  // namespace
}  // namespace sgrpo::algorithm
