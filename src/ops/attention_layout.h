// What an attention plan is made of, on the host: checks, clusters and parts of segments.
#pragma once

#include <vector>

#include "sgrpo/ops/attention_plan.h"

namespace sgrpo::ops {

/// Throws c10::IndexError or ValueError naming the segment.
void check_segments(const std::vector<AttentionSegment>& segments,
                    const AttentionPlan::Size& size,
                    bool causal);

/// Segments grouped so that two groups share no key. Groups and their members ascend.
std::vector<std::vector<int64_t>> cluster_segments(const std::vector<AttentionSegment>& segments);

/// An AttentionPart before it becomes tensors.
struct PartRows {
  std::vector<int32_t> cu_q, cu_k, seqused_k;
  bool causal = false;
  int64_t max_q = 0, max_k = 0;
};

/// Prefixes, where any segment has one, then own keys.
std::vector<PartRows> split_into_parts(const std::vector<AttentionSegment>& segments,
                                       int64_t num_keys,
                                       bool causal);

}  // namespace sgrpo::ops
