// Checks and parameters for the CPU kernels of segment attention.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include "ops/attention_params.h"
#include "ops/segment_checks.h"

namespace sgrpo::ops {
namespace {

template <class T>
void run_forward(const kernels::SegmentAttentionForward<T>& work) {
  const int64_t items = work.params.num_segments * work.params.num_kv_heads;
  at::parallel_for(0, items, 1, [&](int64_t begin, int64_t end) {
    kernels::segment_attention_forward_cpu<T>(work, begin, end);
  });
}

template <class T>
void run_backward(const kernels::SegmentAttentionBackward<T>& work,
                  const std::vector<std::vector<int64_t>>& clusters) {
  const int64_t kv_heads = work.params.num_kv_heads;
  const auto items = static_cast<int64_t>(clusters.size()) * kv_heads;
  at::parallel_for(0, items, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const auto& cluster = clusters[static_cast<size_t>(item / kv_heads)];
      kernels::segment_attention_backward_cpu<T>(
          work, cluster.data(), static_cast<int64_t>(cluster.size()), item % kv_heads);
    }
  });
}

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& q,
                                           const at::Tensor& k,
                                           const at::Tensor& v,
                                           const at::Tensor& segments,
                                           double scale,
                                           bool causal) {
  check_segment_attention(q, k, v, segments, causal);
  if (q.scalar_type() == at::kBFloat16) {  // one deliberate cast each way: sums must be f32 anyway
    auto [out, lse] =
        forward(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat), segments, scale, causal);
    return {out.to(at::kBFloat16), lse};
  }
  at::Tensor out = at::empty(q.sizes(), q.options());
  at::Tensor lse = at::empty({q.size(0), q.size(1)}, q.options());
  const auto run = [&]<class T>(T) {
    run_forward<T>({.params = attention_params<T>(q, k, v, segments, scale, causal),
                    .out = mutable_head_rows<T>(out),
                    .lse = lse.data_ptr<T>()});
  };
  q.scalar_type() == at::kDouble ? run(double{}) : run(float{});
  return {out, lse};
}

at::Tensor forward_only(const at::Tensor& q,
                        const at::Tensor& k,
                        const at::Tensor& v,
                        const at::Tensor& segments,
                        double scale,
                        bool causal) {
  return std::get<0>(forward(q, k, v, segments, scale, causal));
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& grad,
                                                        const at::Tensor& q,
                                                        const at::Tensor& k,
                                                        const at::Tensor& v,
                                                        const at::Tensor& out,
                                                        const at::Tensor& lse,
                                                        const at::Tensor& segments,
                                                        double scale,
                                                        bool causal) {
  check_segment_attention(q, k, v, segments, causal);
  if (q.scalar_type() == at::kBFloat16) {
    const auto wide = [](const at::Tensor& t) { return t.to(at::kFloat); };
    auto [grad_q, grad_k, grad_v] =
        backward(wide(grad), wide(q), wide(k), wide(v), wide(out), lse, segments, scale, causal);
    return {grad_q.to(at::kBFloat16), grad_k.to(at::kBFloat16), grad_v.to(at::kBFloat16)};
  }
  // The gradient of an expanded result may have a strided last dimension, which the kernel does not
  // take.
  const at::Tensor grad_rows = grad.stride(2) == 1 ? grad : grad.contiguous();
  at::Tensor grad_q = at::zeros(q.sizes(), q.options());
  at::Tensor grad_k = at::zeros(k.sizes(), k.options());
  at::Tensor grad_v = at::zeros(v.sizes(), v.options());
  const auto clusters = cluster_segments(segments, k.size(0));
  const auto run = [&]<class T>(T) {
    run_backward<T>({.params = attention_params<T>(q, k, v, segments, scale, causal),
                     .out = head_rows<T>(out),
                     .grad_out = head_rows<T>(grad_rows),
                     .lse = lse.const_data_ptr<T>(),
                     .grad_q = mutable_head_rows<T>(grad_q),
                     .grad_k = mutable_head_rows<T>(grad_k),
                     .grad_v = mutable_head_rows<T>(grad_v)},
                    clusters);
  };
  q.scalar_type() == at::kDouble ? run(double{}) : run(float{});
  return {grad_q, grad_k, grad_v};
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, CPU, m) {
  m.impl("segment_attention", forward_only);
  m.impl("segment_attention_forward", forward);
  m.impl("segment_attention_backward", backward);
}

}  // namespace sgrpo::ops
