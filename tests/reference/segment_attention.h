// Slow twin of ops::segment_attention: one query at a time, in double, out of differentiable tensor
// operations, so that autograd gives the reference gradients.
#pragma once

#include <ATen/ATen.h>

#include <limits>
#include <vector>

#include "sgrpo/ops/attention_plan.h"

namespace sgrpo::reference {

/// The key rows that query `j` of a segment sees, prefix first.
inline at::Tensor visible_keys(const at::Tensor& segment, int64_t j, bool causal) {
  const int64_t* s = segment.const_data_ptr<int64_t>();
  const int64_t queries = s[1] - s[0];
  const int64_t self_end = causal ? s[5] - queries + j + 1 : s[5];
  return at::cat({at::arange(s[2], s[3]), at::arange(s[4], self_end)});
}

/// softmax(scale q k^T) v over the visible keys; q [Tq,H,E], k and v [Tk,K,E], all f64.
inline at::Tensor segment_attention(const at::Tensor& q,
                                    const at::Tensor& k,
                                    const at::Tensor& v,
                                    const at::Tensor& segments,
                                    double scale,
                                    bool causal) {
  const int64_t heads_per_kv = q.size(1) / k.size(1);
  const at::Tensor every_k = k.repeat_interleave(heads_per_kv, 1);  // [Tk,H,E]
  const at::Tensor every_v = v.repeat_interleave(heads_per_kv, 1);
  std::vector<at::Tensor> rows;
  for (int64_t s = 0; s < segments.size(0); ++s) {
    const int64_t begin = segments[s][0].item<int64_t>(), end = segments[s][1].item<int64_t>();
    for (int64_t row = begin; row < end; ++row) {
      const at::Tensor keys = visible_keys(segments[s], row - begin, causal);
      const at::Tensor scores = (every_k.index_select(0, keys) * q[row]).sum(2) * scale;  // [n,H]
      const at::Tensor weights = at::softmax(scores, 0).unsqueeze(2);
      rows.push_back((weights * every_v.index_select(0, keys)).sum(0));
    }
  }
  return rows.empty() ? at::empty_like(q) : at::stack(rows);
}

/// The same out of a plan's parts: each alone, a query at a time, merged by log-sum-exp in their
/// order. Without gradient.
inline at::Tensor attention_by_parts(const at::Tensor& q,
                                     const at::Tensor& k,
                                     const at::Tensor& v,
                                     const std::vector<ops::AttentionPart>& parts,
                                     double scale) {
  const int64_t heads_per_kv = q.size(1) / k.size(1);
  const at::Tensor every_k = k.repeat_interleave(heads_per_kv, 1);  // [Tk,H,E]
  const at::Tensor every_v = v.repeat_interleave(heads_per_kv, 1);
  at::Tensor out = at::zeros_like(q);
  at::Tensor lse =
      at::full({q.size(0), q.size(1)}, -std::numeric_limits<double>::infinity(), q.options());
  for (const ops::AttentionPart& part : parts) {
    for (int64_t i = 0; i < part.seqused_k.size(0); ++i) {
      const auto begin = part.cu_q[i].item<int64_t>(), end = part.cu_q[i + 1].item<int64_t>();
      const auto first = part.cu_k[i].item<int64_t>(), used = part.seqused_k[i].item<int64_t>();
      for (int64_t row = begin; row < end && used > 0; ++row) {
        const at::Tensor keys =
            at::arange(first, first + (part.causal ? used - (end - row - 1) : used));
        const at::Tensor scores = (every_k.index_select(0, keys) * q[row]).sum(2) * scale;  // [n,H]
        const at::Tensor own = scores.logsumexp(0), total = at::logaddexp(lse[row], own);
        const at::Tensor weights = (scores - total).exp().unsqueeze(2);
        out[row].mul_((lse[row] - total).exp().unsqueeze(1));
        out[row].add_((weights * every_v.index_select(0, keys)).sum(0));
        lse[row].copy_(total);
      }
    }
  }
  return out;
}

}  // namespace sgrpo::reference
