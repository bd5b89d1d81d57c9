// Segment attention on the CPU: kv heads of segments in parallel.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include "ops/attention_passes.h"
#include "ops/segment_checks.h"

namespace sgrpo::ops {
namespace {

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& q,
                                           const at::Tensor& k,
                                           const at::Tensor& v,
                                           const at::Tensor& segments,
                                           double scale,
                                           bool causal) {
  check_segment_attention(q, k, v, segments, causal);
  return attention_forward({q, k, v, segments, scale, causal}, [](const auto& work) {
    const int64_t items = work.params.num_segments * work.params.num_kv_heads;
    at::parallel_for(0, items, 1, [&](int64_t begin, int64_t end) {
      kernels::segment_attention_forward_cpu(work, begin, end);
    });
  });
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
  const auto clusters = cluster_segments(segments, k.size(0));
  const auto launch = [&](const auto& work) {
    const int64_t kv_heads = work.params.num_kv_heads;
    const auto items = static_cast<int64_t>(clusters.size()) * kv_heads;
    at::parallel_for(0, items, 1, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const auto& cluster = clusters[static_cast<size_t>(item / kv_heads)];
        kernels::segment_attention_backward_cpu(
            work, cluster.data(), static_cast<int64_t>(cluster.size()), item % kv_heads);
      }
    });
  };
  return attention_backward({q, k, v, segments, scale, causal}, {grad, out, lse}, launch);
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, CPU, m) {
  m.impl("segment_attention", forward_only);
  m.impl("segment_attention_forward", forward);
  m.impl("segment_attention_backward", backward);
}

}  // namespace sgrpo::ops
