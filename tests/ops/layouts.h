// Ways to lay out segments over queries and keys, and the plans of them.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "sgrpo/ops/attention_plan.h"

namespace sgrpo::ops {

inline at::Tensor table(const std::vector<int64_t>& rows) {
  return at::tensor(rows, at::kLong).view({-1, 6});
}

/// The plan of a table, [S, 6] i64.
inline AttentionPlan plan_of(const at::Tensor& table, AttentionPlan::Size size, bool causal) {
  std::vector<AttentionSegment> segments;
  const auto row = table.accessor<int64_t, 2>();
  for (int64_t s = 0; s < table.size(0); ++s)
    segments.push_back({row[s][0], row[s][1], row[s][2], row[s][3], row[s][4], row[s][5]});
  return AttentionPlan::make(segments, size, causal);
}

/// A way to lay out segments over queries and keys.
struct Layout {
  const char* name;
  at::Tensor segments;
  int64_t num_queries, num_keys;
  bool causal;

  AttentionPlan plan() const { return plan_of(segments, {num_queries, num_keys}, causal); }
};

/// Two prompts with completions behind them, one completion alone with its prompt.
inline Layout tries() {
  return {"tries",
          table({0,  9,  0,  0,  0,  9,  9,  14, 0,  9,  9,  14, 14, 15, 0,  9,  14, 15,
                 15, 38, 15, 15, 15, 38, 38, 45, 15, 38, 38, 45, 45, 62, 15, 38, 45, 62}),
          62,
          62,
          true};
}
/// Vision windows of ragged lengths.
inline Layout windows() {
  return {"windows",
          table({0, 16, 0, 0, 0, 16, 16, 20, 0, 0, 16, 20, 20, 45, 0, 0, 20, 45}),
          45,
          45,
          false};
}
/// One new query a row; keys in a cache: prompt slots, then the row's own.
inline Layout decode() {
  return {"decode",
          table({0, 1, 0, 21, 40, 41, 1, 2, 0, 21, 50, 57, 2, 3, 21, 33, 60, 79}),
          3,
          80,
          true};
}
/// A chunk of a prompt after a cached beginning: more own keys than queries.
inline Layout chunked() {
  return {"chunked", table({0, 7, 2, 2, 5, 30, 7, 8, 0, 0, 30, 31}), 8, 31, true};
}
inline Layout one_row() { return {"one_row", table({0, 1, 0, 0, 0, 1}), 1, 1, true}; }

inline std::vector<Layout> layouts() {
  return {tries(), windows(), decode(), chunked(), one_row()};
}

}  // namespace sgrpo::ops
