#include "ops/attention_layout.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

namespace sgrpo::ops {
namespace {

void check_ranges(const AttentionSegment& segment, size_t index, const AttentionPlan::Size& size) {
  const auto& [q_begin, q_end, prefix_begin, prefix_end, self_begin, self_end] = segment;
  TORCH_CHECK_INDEX(q_begin >= 0 && q_end >= q_begin && q_end <= size.queries,
                    "segment ",
                    index,
                    ": queries [",
                    q_begin,
                    ", ",
                    q_end,
                    ") beyond [0, ",
                    size.queries,
                    ")");
  TORCH_CHECK_INDEX(prefix_begin >= 0 && prefix_begin <= prefix_end && prefix_end <= size.keys &&
                        self_begin >= 0 && self_begin <= self_end && self_end <= size.keys,
                    "segment ",
                    index,
                    ": keys [",
                    prefix_begin,
                    ", ",
                    prefix_end,
                    ") and [",
                    self_begin,
                    ", ",
                    self_end,
                    ") beyond [0, ",
                    size.keys,
                    ")");
}

/// A range of keys and the segment that sees it.
struct SeenKeys {
  int64_t begin, end, segment;
};

/// Ranges that hold a key, by their first one.
std::vector<SeenKeys> seen_keys(const std::vector<AttentionSegment>& segments) {
  std::vector<SeenKeys> ranges;
  for (size_t s = 0; s < segments.size(); ++s) {
    const AttentionSegment& segment = segments[s];
    const auto index = static_cast<int64_t>(s);
    if (segment.prefix_end > segment.prefix_begin)
      ranges.push_back({segment.prefix_begin, segment.prefix_end, index});
    if (segment.self_end > segment.self_begin)
      ranges.push_back({segment.self_begin, segment.self_end, index});
  }
  std::sort(ranges.begin(), ranges.end(), [](const SeenKeys& a, const SeenKeys& b) {
    return a.begin < b.begin;
  });
  return ranges;
}

/// Collects sequences whose query rows follow each other.
class PartBuilder {
 public:
  explicit PartBuilder(bool causal) { rows_.causal = causal; }

  bool is_empty() const { return rows_.seqused_k.empty(); }
  /// Whether the last sequence sees these keys, or none as these are none.
  bool ends_with(int64_t k_begin, int64_t k_end) const {
    return !is_empty() && rows_.seqused_k.back() == k_end - k_begin &&
           (k_begin == k_end || rows_.cu_k.back() == k_begin);
  }
  void add(int64_t q_begin, int64_t q_end, int64_t k_begin, int64_t k_end) {
    if (is_empty()) rows_.cu_q.push_back(static_cast<int32_t>(q_begin));
    rows_.cu_q.push_back(static_cast<int32_t>(q_end));
    rows_.cu_k.push_back(static_cast<int32_t>(k_begin));
    rows_.seqused_k.push_back(static_cast<int32_t>(k_end - k_begin));
  }
  void extend(int64_t q_end) { rows_.cu_q.back() = static_cast<int32_t>(q_end); }

  PartRows finish(int64_t num_keys) {
    if (!is_empty() && rows_.seqused_k.back() == 0) {  // rows behind the last that sees a key
      rows_.cu_q.pop_back();
      rows_.cu_k.pop_back();
      rows_.seqused_k.pop_back();
    }
    rows_.cu_k.push_back(static_cast<int32_t>(num_keys));
    for (size_t i = 0; i < rows_.seqused_k.size(); ++i) {
      rows_.max_q = std::max<int64_t>(rows_.max_q, rows_.cu_q[i + 1] - rows_.cu_q[i]);
      rows_.max_k = std::max<int64_t>(rows_.max_k, rows_.seqused_k[i]);
    }
    return std::move(rows_);
  }

 private:
  PartRows rows_;
};

}  // namespace

void check_segments(const std::vector<AttentionSegment>& segments,
                    const AttentionPlan::Size& size,
                    bool causal) {
  constexpr int64_t kMostRows = std::numeric_limits<int32_t>::max();
  TORCH_CHECK_VALUE(size.queries <= kMostRows && size.keys <= kMostRows,
                    "an attention plan of ",
                    size.queries,
                    " queries and ",
                    size.keys,
                    " keys, expected at most ",
                    kMostRows);
  int64_t next = 0;  // the first query row that no segment covers yet
  for (size_t s = 0; s < segments.size(); ++s) {
    const AttentionSegment& segment = segments[s];
    check_ranges(segment, s, size);
    const int64_t queries = segment.q_end - segment.q_begin;
    const int64_t own = segment.self_end - segment.self_begin;
    TORCH_CHECK_VALUE(own >= (causal ? queries : 1),
                      "segment ",
                      s,
                      " has ",
                      own,
                      " own keys for ",
                      queries,
                      " query rows");
    TORCH_CHECK_VALUE(segment.q_begin == next,
                      "segment ",
                      s,
                      " begins at query ",
                      segment.q_begin,
                      ", expected ",
                      next,
                      ": segments cover the query rows in order, each once");
    next = segment.q_end;
  }
  TORCH_CHECK_VALUE(
      next == size.queries, "segments cover ", next, " of ", size.queries, " query rows");
}

std::vector<std::vector<int64_t>> cluster_segments(const std::vector<AttentionSegment>& segments) {
  // Union-find over the segments, whose roots are the first of each cluster.
  std::vector<int64_t> parent(segments.size());
  std::iota(parent.begin(), parent.end(), int64_t{0});
  const auto root = [&](int64_t s) {
    while (parent[static_cast<size_t>(s)] != s) s = parent[static_cast<size_t>(s)];
    return s;
  };
  // A range that begins before the end of an earlier one shares a key with the farthest of them.
  SeenKeys farthest{0, 0, 0};
  for (const SeenKeys& range : seen_keys(segments)) {
    if (range.begin < farthest.end) {
      const int64_t a = root(farthest.segment), b = root(range.segment);
      parent[static_cast<size_t>(std::max(a, b))] = std::min(a, b);
    }
    if (range.end > farthest.end) farthest = range;
  }
  std::map<int64_t, std::vector<int64_t>> clusters;
  for (size_t s = 0; s < segments.size(); ++s)
    clusters[root(static_cast<int64_t>(s))].push_back(static_cast<int64_t>(s));
  std::vector<std::vector<int64_t>> result;
  for (auto& [first, members] : clusters) result.push_back(std::move(members));
  return result;
}

std::vector<PartRows> split_into_parts(const std::vector<AttentionSegment>& segments,
                                       int64_t num_keys,
                                       bool causal) {
  PartBuilder prefixes(false), own(causal);
  for (const AttentionSegment& segment : segments) {
    if (segment.q_begin == segment.q_end) continue;
    own.add(segment.q_begin, segment.q_end, segment.self_begin, segment.self_end);
    const bool has_prefix = segment.prefix_end > segment.prefix_begin;
    if (prefixes.ends_with(segment.prefix_begin, segment.prefix_end)) {
      prefixes.extend(segment.q_end);
    } else if (has_prefix || !prefixes.is_empty()) {
      prefixes.add(segment.q_begin, segment.q_end, segment.prefix_begin, segment.prefix_end);
    }
  }
  std::vector<PartRows> parts;
  if (!prefixes.is_empty()) parts.push_back(prefixes.finish(num_keys));
  if (!own.is_empty()) parts.push_back(own.finish(num_keys));
  return parts;
}

}  // namespace sgrpo::ops
