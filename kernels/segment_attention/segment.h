// One row of a segment table, read.
#pragma once

#include <cstdint>

#include "kernels/common/host_device.h"

namespace sgrpo::kernels {

/// One segment's ranges.
struct Segment {
  int64_t q_begin, q_end, prefix_begin, prefix_end, self_begin, self_end;

  SGRPO_HOST_DEVICE explicit Segment(const int64_t* row)
      : q_begin(row[0]),
        q_end(row[1]),
        prefix_begin(row[2]),
        prefix_end(row[3]),
        self_begin(row[4]),
        self_end(row[5]) {}
  SGRPO_HOST_DEVICE int64_t num_queries() const { return q_end - q_begin; }
  SGRPO_HOST_DEVICE int64_t num_prefix() const { return prefix_end - prefix_begin; }
  SGRPO_HOST_DEVICE int64_t num_keys() const { return num_prefix() + self_end - self_begin; }
  /// The row of the segment's j-th key, prefix first.
  SGRPO_HOST_DEVICE int64_t key_row(int64_t j) const {
    return j < num_prefix() ? prefix_begin + j : self_begin + j - num_prefix();
  }
  /// How many of its keys, from the first on, a query sees.
  SGRPO_HOST_DEVICE int64_t num_visible(int64_t query, bool causal) const {
    return causal ? num_keys() - num_queries() + query + 1 : num_keys();
  }
};

}  // namespace sgrpo::kernels
