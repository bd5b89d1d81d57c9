// One warp a row: the logits are read twice forward (8 bytes an entry) and once backward, which is
// what bounds it.
#include "kernels/common/launch.h"
#include "kernels/row_logprob/row_logprob_body.h"
#include "kernels/row_logprob/row_logprob_cuda.h"

namespace sgrpo::kernels {
namespace {

constexpr int kBlockThreads = 128;
constexpr int kBlockWarps = kBlockThreads / kWarpLanes;

__device__ int64_t warp_index() {
  return static_cast<int64_t>(blockIdx.x) * kBlockWarps + threadIdx.x / kWarpLanes;
}

__global__ void __launch_bounds__(kBlockThreads) forward_kernel(const RowLogprobParams params) {
  const int64_t row = warp_index();
  if (row < params.num_rows) row_logprob_forward_body(params, DeviceWarp<float>(), row);
}

// grad_logits may be the logits' memory: no __restrict__.
__global__ void __launch_bounds__(kBlockThreads) backward_kernel(const RowLogprobParams params,
                                                                 const float* grad_logprobs,
                                                                 const float* grad_entropy,
                                                                 float* grad_logits) {
  const int64_t row = warp_index();
  if (row >= params.num_rows) return;
  row_logprob_backward_body(
      params, grad_logprobs, grad_entropy, grad_logits, DeviceWarp<float>(), row);
}

}  // namespace

cudaError_t row_logprob_forward_cuda(const RowLogprobParams& params, cudaStream_t stream) {
  const int64_t blocks = blocks_of(params.num_rows, kBlockWarps);
  return launch(forward_kernel, blocks, kBlockThreads, stream, params);
}

cudaError_t row_logprob_backward_cuda(const RowLogprobParams& params,
                                      const float* grad_logprobs,
                                      const float* grad_entropy,
                                      float* grad_logits,
                                      cudaStream_t stream) {
  const int64_t blocks = blocks_of(params.num_rows, kBlockWarps);
  return launch(backward_kernel,
                blocks,
                kBlockThreads,
                stream,
                params,
                grad_logprobs,
                grad_entropy,
                grad_logits);
}

}  // namespace sgrpo::kernels
