// Log-probabilities by warps: what one warp does with one row of logits, for CUDA and for tests
// that walk the warps on the host.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/common/warp.h"
#include "kernels/row_logprob/row_logprob.h"

namespace sgrpo::kernels {

/// Forward of one row. bytes: the row's logits twice. As on the CPU, sums run in f32 lanes and
/// every 1,024 entries are added up in f64.
template <class Warp>
SGRPO_HOST_DEVICE void row_logprob_forward_body(const RowLogprobParams& params,
                                                const Warp& warp,
                                                int64_t i) {
  constexpr int64_t kChunk = 1024;
  constexpr float kMasked = -INFINITY;
  const float* row = params.logits + i * params.vocab;
  const float scale = params.inverse_temperature;
  auto lanes = warp.load(row, params.vocab, kMasked);
  for (int64_t j = kWarpLanes; j < params.vocab; j += kWarpLanes)
    lanes = warp.map([](float a, float b) { return b > a ? b : a; },
                     lanes,
                     warp.load(row + j, params.vocab - j, kMasked));
  const float top = warp.largest(lanes) * scale;
  double exponentials = 0.0, weighted = 0.0;  // of exp(x - top) and of exp(x - top) * x
  for (int64_t chunk = 0; chunk < params.vocab; chunk += kChunk) {
    const int64_t end = chunk + kChunk < params.vocab ? chunk + kChunk : params.vocab;
    typename Warp::Value total{}, product{};
    for (int64_t j = chunk; j < end; j += kWarpLanes) {
      const auto x = warp.map([=](float logit) { return logit * scale; },
                              warp.load(row + j, end - j, kMasked));
      const auto e = warp.map([=](float a) { return std::exp(a - top); }, x);
      total = warp.map([](float a, float b) { return a + b; }, total, e);
      product = warp.map([](float sum, float a, float b) { return a > 0.0f ? sum + a * b : sum; },
                         product,
                         e,
                         x);  // a masked entry is 0 * -inf
    }
    exponentials += static_cast<double>(warp.sum(total));
    weighted += static_cast<double>(warp.sum(product));
  }
  const double lse = static_cast<double>(top) + std::log(exponentials);
  const double label = static_cast<double>(row[params.labels[i]] * scale);
  warp.store_one(params.lse + i, static_cast<float>(lse));
  warp.store_one(params.logprobs + i, static_cast<float>(label - lse));
  warp.store_one(params.entropy + i, static_cast<float>(lse - weighted / exponentials));
}

/// Backward of one row; grad_logits may be the logits' own memory. Formula: row_logprob.h.
template <class Warp>
SGRPO_HOST_DEVICE void row_logprob_backward_body(const RowLogprobParams& params,
                                                 const float* grad_logprobs,
                                                 const float* grad_entropy,
                                                 float* grad_logits,
                                                 const Warp& warp,
                                                 int64_t i) {
  const float* row = params.logits + i * params.vocab;
  const float scale = params.inverse_temperature, lse = params.lse[i], shift = params.entropy[i];
  const float g = grad_logprobs == nullptr ? 0.0f : grad_logprobs[i] * scale;
  const float h = grad_entropy == nullptr ? 0.0f : grad_entropy[i] * scale;
  for (int64_t j = 0; j < params.vocab; j += kWarpLanes) {
    const int64_t count = params.vocab - j, label = params.labels[i] - j;
    const auto slope = [=](int lane, float logit) {
      const float d = logit * scale - lse;
      const float p = std::exp(d);
      const float chosen = lane == label ? g : 0.0f;
      return p > 0.0f ? chosen - p * (g + h * (d + shift)) : chosen;
    };
    warp.store(grad_logits + i * params.vocab + j,
               count,
               warp.map_lanes(slope, warp.load(row + j, count, 0.0f)));
  }
}

}  // namespace sgrpo::kernels
