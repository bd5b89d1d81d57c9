// CHORD: rollouts and demonstrations in one step, with a weight that moves from the latter to the
// former:
//   (1 - mu) clipped + mu SFT, the SFT term over the tokens of its own rows
// mu rises linearly from 0 to mu_peak over mu_warmup_steps, then falls along half a cosine to
// mu_valley over mu_decay_steps (0: over the rest of the run). With `phi` each expert token is
// weighed by p (1 - p), detached: nothing is learned of what is certain or unthinkable; CHORD then
// takes a constant mu of 0.1 (mu_peak = mu_valley). Source: arXiv 2508.11408; names of parameters
// and the curve as ms-swift. The lengths of warm-up and decay are not known from the paper.
#include <algorithm>
#include <cmath>

#include "algorithm/loss/clip_range.h"

namespace sgrpo::algorithm {
namespace {

class Chord final : public TokenLoss {
 public:
  Chord(const LossSettings& settings, MethodParams& params)
      : range_(settings),
        warmup_(params.integer("mu_warmup_steps", 0, 0, int64_t{1} << 40)),
        decay_(params.integer("mu_decay_steps", 0, 0, int64_t{1} << 40)),
        peak_(params.number("mu_peak", 0.9, 0.0, 1.0)),
        valley_(params.number("mu_valley", 0.05, 0.0, 1.0)),
        phi_(params.flag("phi", false)) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    return -range_.objective(ratio(inputs), inputs.batch);
  }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    return range_.flags(ratio(inputs), inputs.batch);
  }

  std::optional<DemonstrationShare> demonstrations(int64_t step, int64_t steps) const override {
    const double mu = mu_after(step - 1, steps);
    return DemonstrationShare{.own_weight = 1.0 - mu, .weight = mu, .weighs_by_phi = phi_};
  }

 private:
  double mu_after(int64_t done, int64_t steps) const {
    if (done < warmup_) return peak_ * static_cast<double>(done) / static_cast<double>(warmup_);
    const int64_t decay = decay_ > 0 ? decay_ : std::max<int64_t>(steps - warmup_, 1);
    const double progress = static_cast<double>(done - warmup_) / static_cast<double>(decay);
    if (progress >= 1.0) return valley_;
    return valley_ + (peak_ - valley_) * 0.5 * (1.0 + std::cos(M_PI * progress));
  }

  ClipRange range_;
  int64_t warmup_, decay_;
  double peak_, valley_;
  bool phi_;
};

SGRPO_REGISTER_LOSS("chord", Chord);

}  // namespace
}  // namespace sgrpo::algorithm
