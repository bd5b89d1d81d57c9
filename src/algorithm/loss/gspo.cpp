// -min(s A, clip(s) A) with the sequence ratio s = exp(mean over its tokens of log p - log p_old).
// Every token carries its sequence's value, so seq_mean_token_mean gives the paper's objective and
// seq_mean_token_sum that of LUSPO, which weighs a sequence with its length. clip_dual holds here,
// too. Source: arXiv 2507.18071 (clip 3e-4 / 4e-4, no KL), 2602.05261 (LUSPO).
#include "algorithm/loss/clip_range.h"

namespace sgrpo::algorithm {
namespace {

class Gspo final : public TokenLoss {
 public:
  Gspo(const LossSettings& settings, MethodParams& /*params*/) : range_(settings) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    return -range_.objective(ratio(inputs), inputs.batch);
  }

  at::Tensor ratio(const LossInputs& inputs) const override { return sequence_ratio(inputs); }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    return range_.flags(ratio(inputs), inputs.batch);
  }

 private:
  ClipRange range_;
};

SGRPO_REGISTER_LOSS("gspo", Gspo);

}  // namespace
}  // namespace sgrpo::algorithm
