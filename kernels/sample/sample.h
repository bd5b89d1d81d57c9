// One token per row of logits by inverse transform, or the largest.
#pragma once

#include <cstdint>

namespace sgrpo::kernels {

struct SampleParams {
  const float* logits = nullptr;    // [B, V]; -inf entries are never chosen
  const double* uniform = nullptr;  // [B] in [0, 1)
  int64_t vocab = 0;
  float inverse_temperature = 1.0f;
  double top_p = 1.0;
  int64_t top_k = 0;
  bool greedy = false;
  int64_t* ids = nullptr;     // [B]
  float* logprobs = nullptr;  // [B] under the full distribution
  float* entropy = nullptr;   // [B] of the full distribution, nats
};

/// Rows [begin, end). Candidates are walked in id order, so that a draw near a boundary moves to a
/// neighbour only by rounding of the cumulative sum.
void sample_cpu(const SampleParams& params, int64_t begin, int64_t end);

}  // namespace sgrpo::kernels
