#include "kernels/row_logprob/row_logprob.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/common/vec.h"

namespace sgrpo::kernels {
namespace {

constexpr int64_t kChunk = 1024;

struct RowSums {
  double exponentials = 0.0;  // sum of exp(x - top)
  double weighted = 0.0;      // sum of exp(x - top) * x
};

SGRPO_INLINE float row_max(const float* row, int64_t n) {
  float top = -std::numeric_limits<float>::infinity();
  int64_t j = 0;
  if (n >= kLanes) {
    Vec lanes = load(row);
    for (j = kLanes; j + kLanes <= n; j += kLanes) lanes = max(lanes, load(row + j));
    top = max_lane(lanes);
  }
  for (; j < n; ++j) top = std::max(top, row[j]);
  return top;
}

SGRPO_INLINE RowSums row_sums(const float* row, int64_t n, float scale, float top) {
  RowSums sums;
  for (int64_t chunk = 0; chunk < n; chunk += kChunk) {
    const int64_t end = std::min(n, chunk + kChunk);
    Vec total{}, weighted{};
    int64_t j = chunk;
    for (; j + kLanes <= end; j += kLanes) {
      const Vec x = load(row + j) * scale;
      const Vec e = exp(x - top);
      total += e;
      weighted += e > 0.0f ? e * x : Vec{};  // a masked entry is 0 * -inf
    }
    sums.exponentials += static_cast<double>(sum(total));
    sums.weighted += static_cast<double>(sum(weighted));
    for (; j < end; ++j) {
      const float x = row[j] * scale;
      const float e = std::exp(x - top);
      sums.exponentials += static_cast<double>(e);
      if (e > 0.0f) sums.weighted += static_cast<double>(e * x);
    }
  }
  return sums;
}

}  // namespace

SGRPO_MULTIVERSION
void row_logprob_forward_cpu(const RowLogprobParams& params, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const float* row = params.logits + i * params.vocab;
    const float top = row_max(row, params.vocab) * params.inverse_temperature;
    const RowSums sums = row_sums(row, params.vocab, params.inverse_temperature, top);
    const double lse = static_cast<double>(top) + std::log(sums.exponentials);
    const float label = row[params.labels[i]] * params.inverse_temperature;
    params.lse[i] = static_cast<float>(lse);
    params.logprobs[i] = static_cast<float>(static_cast<double>(label) - lse);
    params.entropy[i] = static_cast<float>(lse - sums.weighted / sums.exponentials);
  }
}

SGRPO_MULTIVERSION
void row_logprob_backward_cpu(const RowLogprobParams& params,
                              const float* grad_logprobs,
                              const float* grad_entropy,
                              float* grad_logits,
                              int64_t begin,
                              int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const float* row = params.logits + i * params.vocab;
    float* grad = grad_logits + i * params.vocab;
    const float scale = params.inverse_temperature, lse = params.lse[i];
    const float g = grad_logprobs == nullptr ? 0.0f : grad_logprobs[i] * scale;
    const float h = grad_entropy == nullptr ? 0.0f : grad_entropy[i] * scale;
    const float shift = params.entropy[i];
    int64_t j = 0;
    for (; j + kLanes <= params.vocab; j += kLanes) {
      const Vec d = load(row + j) * scale - lse;
      const Vec p = exp(d);
      store(grad + j, p > 0.0f ? -p * (g + h * (d + shift)) : Vec{});
    }
    for (; j < params.vocab; ++j) {
      const float d = row[j] * scale - lse;
      const float p = std::exp(d);
      grad[j] = p > 0.0f ? -p * (g + h * (d + shift)) : 0.0f;
    }
    const int64_t label = params.labels[i];
    if (label >= 0 && label < params.vocab) grad[label] += g;
  }
}

}  // namespace sgrpo::kernels
