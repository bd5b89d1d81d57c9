// One warp a (query row, head), and in the keys' pass one warp a (key row, kv head). Every warp
// reads its keys from L2: bound by that traffic, 8 E bytes a visible pair. A block's warps have
// neighbouring rows of one head, which see nearly the same keys.
#include "kernels/common/launch.h"
#include "kernels/segment_attention/segment_attention_body.h"
#include "kernels/segment_attention/segment_attention_cuda.h"

namespace sgrpo::kernels {
namespace {

constexpr int kBlockThreads = 128;
constexpr int kBlockWarps = kBlockThreads / kWarpLanes;
static_assert(kCudaHeadDim == kLargestHeadDim);

__device__ int64_t warp_index() {
  return static_cast<int64_t>(blockIdx.x) * kBlockWarps + threadIdx.x / kWarpLanes;
}

template <int kParts, class T, class Stored>
__global__ void __launch_bounds__(kBlockThreads)
    forward_kernel(const SegmentAttentionForward<T, Stored> work, const int64_t num_queries) {
  const int64_t row = warp_index();
  if (row < num_queries) attention_forward_body<kParts>(work, DeviceWarp<T>(), row, blockIdx.y);
}

template <int kParts, class T>
__global__ void __launch_bounds__(kBlockThreads)
    backward_query_kernel(const SegmentAttentionBackward<T> work,
                          T* __restrict__ delta,
                          const int64_t num_queries) {
  const int64_t row = warp_index();
  if (row < num_queries)
    attention_backward_query_body<kParts>(work, delta, DeviceWarp<T>(), row, blockIdx.y);
}

template <int kParts, class T>
__global__ void __launch_bounds__(kBlockThreads)
    backward_key_kernel(const SegmentAttentionBackward<T> work,
                        const T* __restrict__ delta,
                        const int64_t num_keys) {
  const int64_t row = warp_index();
  if (row < num_keys)
    attention_backward_key_body<kParts>(work, delta, DeviceWarp<T>(), row, blockIdx.y);
}

}  // namespace

template <class T, class Stored>
cudaError_t segment_attention_forward_cuda(const SegmentAttentionForward<T, Stored>& work,
                                           int64_t num_queries,
                                           cudaStream_t stream) {
  const Blocks blocks{blocks_of(num_queries, kBlockWarps), work.params.num_heads};
  return with_parts(work.params.head_dim, [&](auto parts) {
    const auto kernel = forward_kernel<decltype(parts)::value, T, Stored>;
    return launch(kernel, blocks, kBlockThreads, stream, work, num_queries);
  });
}

template <class T>
cudaError_t segment_attention_backward_cuda(const SegmentAttentionBackward<T>& work,
                                            T* delta,
                                            int64_t num_queries,
                                            int64_t num_keys,
                                            cudaStream_t stream) {
  return with_parts(work.params.head_dim, [&](auto parts) {
    constexpr int kParts = decltype(parts)::value;
    const cudaError_t error = launch(backward_query_kernel<kParts, T>,
                                     {blocks_of(num_queries, kBlockWarps), work.params.num_heads},
                                     kBlockThreads,
                                     stream,
                                     work,
                                     delta,
                                     num_queries);
    if (error != cudaSuccess) return error;
    return launch(backward_key_kernel<kParts, T>,
                  {blocks_of(num_keys, kBlockWarps), work.params.num_kv_heads},
                  kBlockThreads,
                  stream,
                  work,
                  delta,
                  num_keys);
  });
}

template cudaError_t segment_attention_forward_cuda(const SegmentAttentionForward<float>&,
                                                    int64_t,
                                                    cudaStream_t);
template cudaError_t segment_attention_forward_cuda(const SegmentAttentionForward<float, Bf16>&,
                                                    int64_t,
                                                    cudaStream_t);
template cudaError_t segment_attention_forward_cuda(const SegmentAttentionForward<double>&,
                                                    int64_t,
                                                    cudaStream_t);
template cudaError_t segment_attention_backward_cuda(
    const SegmentAttentionBackward<float>&, float*, int64_t, int64_t, cudaStream_t);
template cudaError_t segment_attention_backward_cuda(
    const SegmentAttentionBackward<double>&, double*, int64_t, int64_t, cudaStream_t);

}  // namespace sgrpo::kernels
