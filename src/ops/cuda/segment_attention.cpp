// Checks and parameters for the CUDA kernels of segment attention. The segment table is copied to
// the device: it is a CPU tensor because the host must check it.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "kernels/segment_attention/segment_attention_cuda.h"
#include "ops/attention_params.h"
#include "ops/segment_checks.h"

namespace sgrpo::ops {
namespace {

void check(const at::Tensor& q,
           const at::Tensor& k,
           const at::Tensor& v,
           const at::Tensor& segments,
           bool causal) {
  check_segment_attention(q, k, v, segments, causal);
  TORCH_CHECK_VALUE(k.device() == q.device() && v.device() == q.device(),
                    "q, k and v must share a device");
  TORCH_CHECK_VALUE(q.size(2) <= kernels::kCudaHeadDim,
                    "head_dim is ",
                    q.size(2),
                    ", the CUDA kernel takes up to ",
                    kernels::kCudaHeadDim);
}

std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& q,
                                           const at::Tensor& k,
                                           const at::Tensor& v,
                                           const at::Tensor& segments,
                                           double scale,
                                           bool causal) {
  if (q.scalar_type() == at::kBFloat16) {  // one deliberate cast each way: sums must be f32 anyway
    auto [out, lse] =
        forward(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat), segments, scale, causal);
    return {out.to(at::kBFloat16), lse};
  }
  check(q, k, v, segments, causal);
  const c10::cuda::CUDAGuard guard(q.device());
  const at::Tensor table = segments.to(q.device());
  at::Tensor out = at::empty(q.sizes(), q.options());
  at::Tensor lse = at::empty({q.size(0), q.size(1)}, q.options());
  const auto run = [&]<class T>(T) {
    C10_CUDA_CHECK(kernels::segment_attention_forward_cuda<T>(
        {.params = attention_params<T>(q, k, v, table, scale, causal),
         .out = mutable_head_rows<T>(out),
         .lse = lse.data_ptr<T>()},
        q.size(0),
        c10::cuda::getCurrentCUDAStream()));
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
  if (q.scalar_type() == at::kBFloat16) {
    const auto wide = [](const at::Tensor& t) { return t.to(at::kFloat); };
    auto [grad_q, grad_k, grad_v] =
        backward(wide(grad), wide(q), wide(k), wide(v), wide(out), lse, segments, scale, causal);
    return {grad_q.to(at::kBFloat16), grad_k.to(at::kBFloat16), grad_v.to(at::kBFloat16)};
  }
  check(q, k, v, segments, causal);
  const c10::cuda::CUDAGuard guard(q.device());
  const at::Tensor table = segments.to(q.device());
  // The gradient of an expanded result may have a strided last dimension, which the kernel does not
  // take.
  const at::Tensor grad_rows = grad.stride(2) == 1 ? grad : grad.contiguous();
  at::Tensor grad_q = at::empty(q.sizes(), q.options());
  at::Tensor grad_k = at::empty(k.sizes(), k.options());
  at::Tensor grad_v = at::empty(v.sizes(), v.options());
  at::Tensor delta = at::empty_like(lse);
  const auto run = [&]<class T>(T) {
    C10_CUDA_CHECK(kernels::segment_attention_backward_cuda<T>(
        {.params = attention_params<T>(q, k, v, table, scale, causal),
         .out = head_rows<T>(out),
         .grad_out = head_rows<T>(grad_rows),
         .lse = lse.const_data_ptr<T>(),
         .grad_q = mutable_head_rows<T>(grad_q),
         .grad_k = mutable_head_rows<T>(grad_k),
         .grad_v = mutable_head_rows<T>(grad_v)},
        delta.data_ptr<T>(),
        q.size(0),
        k.size(0),
        c10::cuda::getCurrentCUDAStream()));
  };
  q.scalar_type() == at::kDouble ? run(double{}) : run(float{});
  return {grad_q, grad_k, grad_v};
}

}  // namespace

TORCH_LIBRARY_IMPL(sgrpo, CUDA, m) {
  m.impl("segment_attention", forward_only);
  m.impl("segment_attention_forward", forward);
  m.impl("segment_attention_backward", backward);
}

}  // namespace sgrpo::ops
