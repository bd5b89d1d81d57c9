// What every backend checks of a segment table, and which segments share keys.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

namespace sgrpo::ops {

/// Throws c10::ValueError / IndexError / TypeError naming the argument or the segment.
void check_segment_attention(const at::Tensor& q,
                             const at::Tensor& k,
                             const at::Tensor& v,
                             const at::Tensor& segments,
                             bool causal);

/// Segments grouped so that two groups share no key: their backward passes may run at the same
/// time. Groups and their members are in ascending order.
std::vector<std::vector<int64_t>> cluster_segments(const at::Tensor& segments, int64_t num_keys);

}  // namespace sgrpo::ops
