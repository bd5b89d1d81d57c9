// Segment attention on the CPU: kv heads of segments in parallel.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include "ops/attention_passes.h"

namespace sgrpo::ops {
namespace {

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& q,
                                           const at::Tensor& k,
                                           const at::Tensor& v,
                                           const at::Tensor& table,
                                           double scale,
                                           bool causal) {
  return attention_forward({q, k, v, table, scale, causal}, [](const auto& work) {
    const int64_t items = work.params.num_segments * work.params.num_kv_heads;
    at::parallel_for(0, items, 1, [&](int64_t begin, int64_t end) {
      kernels::segment_attention_forward_cpu(work, begin, end);
    });
  });
}

at::Tensor forward_only(const at::Tensor& q,
                        const at::Tensor& k,
                        const at::Tensor& v,
                        const at::Tensor& table,
                        const at::Tensor& /*cluster_begin*/,
                        const at::Tensor& /*cluster_members*/,
                        double scale,
                        bool causal) {
  return std::get<0>(forward(q, k, v, table, scale, causal));
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& grad,
                                                        const at::Tensor& q,
                                                        const at::Tensor& k,
                                                        const at::Tensor& v,
                                                        const at::Tensor& out,
                                                        const at::Tensor& lse,
                                                        const at::Tensor& table,
                                                        const at::Tensor& cluster_begin,
                                                        const at::Tensor& cluster_members,
                                                        double scale,
                                                        bool causal) {
  const auto* first = cluster_begin.const_data_ptr<int64_t>();
  const auto* members = cluster_members.const_data_ptr<int64_t>();
  const auto launch = [&](const auto& work) {
    const int64_t kv_heads = work.params.num_kv_heads;
    const int64_t items = (cluster_begin.size(0) - 1) * kv_heads;
    at::parallel_for(0, items, 1, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t* cluster = first + item / kv_heads;
        kernels::segment_attention_backward_cpu(
            work, members + cluster[0], cluster[1] - cluster[0], item % kv_heads);
      }
    });
  };
  return attention_backward({q, k, v, table, scale, causal}, {grad, out, lse}, launch);
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, CPU, m) {
  m.impl("segment_attention", forward_only);
  m.impl("segment_attention_forward", forward);
  m.impl("segment_attention_backward", backward);
}

}  // namespace sgrpo::ops
