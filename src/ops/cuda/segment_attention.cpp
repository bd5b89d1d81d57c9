// Segment attention on CUDA: launches on the current stream.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "kernels/segment_attention/segment_attention_cuda.h"
#include "ops/attention_passes.h"

namespace sgrpo::ops {
namespace {

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& q,
                                           const at::Tensor& k,
                                           const at::Tensor& v,
                                           const at::Tensor& table,
                                           double scale,
                                           bool causal) {
  TORCH_CHECK_VALUE(k.device() == q.device() && v.device() == q.device(),
                    "q, k and v must share a device");
  TORCH_CHECK_VALUE(q.size(2) <= kernels::kCudaHeadDim,
                    "head_dim is ",
                    q.size(2),
                    ", the CUDA kernel takes up to ",
                    kernels::kCudaHeadDim);
  const c10::cuda::CUDAGuard guard(q.device());
  return attention_forward({q, k, v, table, scale, causal}, [&](const auto& work) {
    C10_CUDA_CHECK(kernels::segment_attention_forward_cuda(
        work, q.size(0), c10::cuda::getCurrentCUDAStream()));
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
                                                        const at::Tensor& /*cluster_begin*/,
                                                        const at::Tensor& /*cluster_members*/,
                                                        double scale,
                                                        bool causal) {
  const c10::cuda::CUDAGuard guard(q.device());
  at::Tensor delta = at::empty_like(lse);
  const auto launch = [&]<class T>(const kernels::SegmentAttentionBackward<T>& work) {
    C10_CUDA_CHECK(kernels::segment_attention_backward_cuda(
        work, delta.data_ptr<T>(), q.size(0), k.size(0), c10::cuda::getCurrentCUDAStream()));
  };
  return attention_backward({q, k, v, table, scale, causal}, {grad, out, lse}, launch);
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, CUDA, m) {
  m.impl("segment_attention", forward_only);
  m.impl("segment_attention_forward", forward);
  m.impl("segment_attention_backward", backward);
}

}  // namespace sgrpo::ops
