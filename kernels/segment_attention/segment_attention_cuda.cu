// One warp a (query row, head), and in the keys' pass one warp a (key row, kv head). Every warp
// reads its keys from L2: bound by that traffic, 8 E bytes a visible pair.
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
  const int64_t item = warp_index(), heads = work.params.num_heads;
  if (item < num_queries * heads)
    attention_forward_body<kParts>(work, DeviceWarp<T>(), item / heads, item % heads);
}

template <int kParts, class T>
__global__ void __launch_bounds__(kBlockThreads)
    backward_query_kernel(const SegmentAttentionBackward<T> work,
                          T* __restrict__ delta,
                          const int64_t num_queries) {
  const int64_t item = warp_index(), heads = work.params.num_heads;
  if (item < num_queries * heads)
    attention_backward_query_body<kParts>(work, delta, DeviceWarp<T>(), item / heads, item % heads);
}

template <int kParts, class T>
__global__ void __launch_bounds__(kBlockThreads)
    backward_key_kernel(const SegmentAttentionBackward<T> work,
                        const T* __restrict__ delta,
                        const int64_t num_keys) {
  const int64_t item = warp_index(), heads = work.params.num_kv_heads;
  if (item < num_keys * heads)
    attention_backward_key_body<kParts>(work, delta, DeviceWarp<T>(), item / heads, item % heads);
}

unsigned blocks_for(int64_t warps) {
  return static_cast<unsigned>((warps + kBlockWarps - 1) / kBlockWarps);
}

}  // namespace

template <class T, class Stored>
cudaError_t segment_attention_forward_cuda(const SegmentAttentionForward<T, Stored>& work,
                                           int64_t num_queries,
                                           cudaStream_t stream) {
  if (num_queries == 0) return cudaSuccess;
  const unsigned blocks = blocks_for(num_queries * work.params.num_heads);
  return with_parts(work.params.head_dim, [&](auto parts) {
    forward_kernel<decltype(parts)::value, T, Stored>
        <<<blocks, kBlockThreads, 0, stream>>>(work, num_queries);
    return cudaGetLastError();
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
    if (num_queries > 0) {
      const unsigned blocks = blocks_for(num_queries * work.params.num_heads);
      backward_query_kernel<kParts, T>
          <<<blocks, kBlockThreads, 0, stream>>>(work, delta, num_queries);
    }
    if (num_keys > 0) {
      const unsigned blocks = blocks_for(num_keys * work.params.num_kv_heads);
      backward_key_kernel<kParts, T><<<blocks, kBlockThreads, 0, stream>>>(work, delta, num_keys);
    }
    return cudaGetLastError();
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
