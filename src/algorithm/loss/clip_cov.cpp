// Clip-Cov: the clipped loss, without a random few of the tokens whose advantage and log-prob go
// together:
//   cov_t = (A_t - mean A)(log p_t - mean log p) in (cov_low, cov_high), not clipped anyway
// lose their term, as many as `share` of all loss tokens, at least one; means and share are over
// the whole optimizer step. Which ones is drawn from a key (seed, step, update, rank, row, token),
// never from the order of calls. Source: arXiv 2505.22617; share 0.0002, 1 and 5 are verl's
// defaults, whose means and share are the micro-batch's.
#include "algorithm/loss/clip_range.h"
#include "algorithm/loss/covariance.h"
#include "sgrpo/core/error.h"

namespace sgrpo::algorithm {
namespace {

/// A uniform number of every decision, [M] f64.
at::Tensor draws_of(const LossInputs& inputs) {
  const LossBatch& batch = inputs.batch;
  at::Tensor draws = at::empty({batch.num_decisions()}, at::kDouble);
  auto* draw = draws.mutable_data_ptr<double>();
  const auto bounds = batch.cu_seqlens.accessor<int32_t, 1>();
  for (int64_t b = 0; b < batch.num_sequences(); ++b) {
    const auto row = static_cast<uint64_t>(batch.row[static_cast<size_t>(b)]);
    for (int64_t m = bounds[b]; m < bounds[b + 1]; ++m) {
      const auto token = static_cast<uint64_t>(m - bounds[b]);
      draw[m] = inputs.context.key.uniform((row << 32) | token);
    }
  }
  return draws.to(batch.sequence_index.device());
}

class ClipCov final : public TokenLoss {
 public:
  ClipCov(const LossSettings& settings, MethodParams& params)
      : range_(settings),
        share_(params.number("share", 0.0002, 0.0, 1.0)),
        low_(params.number("cov_low", 1.0, -1e6, 1e6)),
        high_(params.number("cov_high", 5.0, -1e6, 1e6)) {
    if (low_ >= high_) {
      throw core::UserError(core::str("algorithm.params.loss.cov_low is ",
                                      low_,
                                      ", expected less than cov_high (",
                                      high_,
                                      ")"));
    }
  }

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const at::Tensor plain = -range_.objective(ratio(inputs), inputs.batch);
    const at::Tensor& all = inputs.context.statistics;
    const at::Tensor own = covariance_of_batch(inputs);
    if (all.size(0) == 0) return plain;
    // The draws of all that could lose their term, in order, those of the others behind them: no
    // number of the device is read to choose.
    const at::Tensor is_rival = is_candidate(covariance(all, all), all.select(1, 2) != 0);
    const at::Tensor draws = std::get<0>(at::where(is_rival, all.select(1, 3), 2.0).sort());
    const at::Tensor last =
        (is_rival.sum().clamp_max(share_of(share_, all.size(0))) - 1).clamp_min(0);
    const at::Tensor highest = draws.index_select(0, last.reshape({1}));
    const at::Tensor dropped =
        is_candidate(own, is_clipped(inputs)) & (draws_of(inputs) <= highest);
    return at::where(dropped, 0.0, plain);
  }

  ClipFlags clip_flags(const LossInputs& inputs) const override {
    return range_.flags(ratio(inputs), inputs.batch);
  }

  int64_t num_statistics() const override { return 4; }
  at::Tensor statistics(const LossInputs& inputs) const override {
    const at::Tensor more = at::stack({is_clipped(inputs).to(at::kDouble), draws_of(inputs)}, 1);
    return at::cat({covariance_columns(inputs), more}, 1);
  }

 private:
  at::Tensor is_clipped(const LossInputs& inputs) const {
    const ClipFlags clip = clip_flags(inputs);
    return clip.low | clip.high;
  }
  at::Tensor is_candidate(const at::Tensor& covariance, const at::Tensor& clipped) const {
    return (covariance > low_) & (covariance < high_) & ~clipped;
  }

  ClipRange range_;
  double share_, low_, high_;
};

SGRPO_REGISTER_LOSS("clip_cov", ClipCov);

}  // namespace
}  // namespace sgrpo::algorithm
