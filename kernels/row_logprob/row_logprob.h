// Rows of logits -> log-probability of a label, entropy, log-sum-exp; and the gradient back to the
// logits.
#pragma once

#include <cstdint>

namespace sgrpo::kernels {

struct RowLogprobParams {
  const float* logits = nullptr;    // [M, V] contiguous; -inf entries are masked
  const int64_t* labels = nullptr;  // [M]
  int64_t num_rows = 0;
  int64_t vocab = 0;
  float inverse_temperature = 1.0f;
  float* logprobs = nullptr;  // [M]
  float* entropy = nullptr;   // [M]
  float* lse = nullptr;       // [M] of logits * inverse_temperature
};

/// Forward of rows [begin, end). bytes: logits twice. Sums run in f32 lanes, every 1,024 entries
/// added up in f64.
void row_logprob_forward_cpu(const RowLogprobParams& params, int64_t begin, int64_t end);

/// grad_logits [M, V] = d(loss)/d(logits) for gradients of logprobs and entropy (either may be null
/// = 0); it may be the logits' own memory. With x = logits / T, p = exp(x - lse), H = entropy:
///   dlogit_j = (g_lp (1[j = label] - p_j) - g_H p_j (x_j - lse + H)) / T
/// The logits may be some columns of the layer's only; a label outside of them is then another's.
void row_logprob_backward_cpu(const RowLogprobParams& params,
                              const float* grad_logprobs,
                              const float* grad_entropy,
                              float* grad_logits,
                              int64_t begin,
                              int64_t end);

}  // namespace sgrpo::kernels
