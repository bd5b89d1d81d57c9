#include "ops/segment_checks.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace sgrpo::ops {
namespace {

void check_rows(const at::Tensor& t, const char* name, const at::Tensor& q) {
  TORCH_CHECK_VALUE(t.dim() == 3 && t.size(2) == q.size(2),
                    name,
                    " has shape ",
                    t.sizes(),
                    ", expected [T, heads, E] with E = ",
                    q.size(2));
  TORCH_CHECK_TYPE(t.scalar_type() == q.scalar_type(),
                   name,
                   " is ",
                   t.scalar_type(),
                   ", expected ",
                   q.scalar_type());
  TORCH_CHECK_VALUE(t.stride(2) == 1, name, " must be contiguous in its last dimension");
}

/// What the ranges of a table may span.
struct TableSize {
  int64_t queries, keys;
};

void check_segment_rows(const int64_t* row, int64_t count, const TableSize& size, bool causal) {
  int64_t next = 0;  // the first query row that no segment covers yet
  for (int64_t s = 0; s < count; ++s, row += 6) {
    const int64_t queries = row[1] - row[0], own = row[5] - row[4];
    TORCH_CHECK_INDEX(row[0] >= 0 && queries >= 0 && row[1] <= size.queries,
                      "segment ",
                      s,
                      ": queries [",
                      row[0],
                      ", ",
                      row[1],
                      ") beyond [0, ",
                      size.queries,
                      ")");
    TORCH_CHECK_INDEX(row[2] >= 0 && row[2] <= row[3] && row[3] <= size.keys && row[4] >= 0 &&
                          own >= 0 && row[5] <= size.keys,
                      "segment ",
                      s,
                      ": keys [",
                      row[2],
                      ", ",
                      row[3],
                      ") and [",
                      row[4],
                      ", ",
                      row[5],
                      ") beyond [0, ",
                      size.keys,
                      ")");
    TORCH_CHECK_VALUE(own >= (causal ? queries : 1),
                      "segment ",
                      s,
                      " has ",
                      own,
                      " own keys for ",
                      queries,
                      " query rows");
    TORCH_CHECK_VALUE(row[0] == next,
                      "segment ",
                      s,
                      " begins at query ",
                      row[0],
                      ", expected ",
                      next,
                      ": segments cover the query rows in order, each once");
    next = row[1];
  }
  TORCH_CHECK_VALUE(
      next == size.queries, "segments cover ", next, " of ", size.queries, " query rows");
}

}  // namespace

void check_segment_attention(const at::Tensor& q,
                             const at::Tensor& k,
                             const at::Tensor& v,
                             const at::Tensor& segments,
                             bool causal) {
  TORCH_CHECK_VALUE(q.dim() == 3, "q has shape ", q.sizes(), ", expected [Tq, H, E]");
  TORCH_CHECK_TYPE(q.scalar_type() == at::kFloat || q.scalar_type() == at::kDouble ||
                       q.scalar_type() == at::kBFloat16,
                   "q is ",
                   q.scalar_type(),
                   ", expected Float, BFloat16 or Double");
  check_rows(q, "q", q);
  check_rows(k, "k", q);
  check_rows(v, "v", q);
  TORCH_CHECK_VALUE(k.size(0) == v.size(0) && k.size(1) == v.size(1),
                    "k has shape ",
                    k.sizes(),
                    ", v ",
                    v.sizes());
  TORCH_CHECK_VALUE(k.size(1) > 0 && q.size(1) % k.size(1) == 0,
                    "q has ",
                    q.size(1),
                    " heads, k has ",
                    k.size(1),
                    ": expected a multiple");
  TORCH_CHECK_VALUE(segments.dim() == 2 && segments.size(1) == 6 &&
                        segments.scalar_type() == at::kLong && segments.is_contiguous() &&
                        segments.device().is_cpu(),
                    "segments must be a contiguous [S, 6] i64 CPU tensor");
  check_segment_rows(
      segments.const_data_ptr<int64_t>(), segments.size(0), {q.size(0), k.size(0)}, causal);
}

std::vector<std::vector<int64_t>> cluster_segments(const at::Tensor& segments, int64_t num_keys) {
  // Union-find over the segments; `owner` remembers which segment touched a key first.
  const int64_t count = segments.size(0);
  std::vector<int64_t> parent(static_cast<size_t>(count)), owner(static_cast<size_t>(num_keys), -1);
  std::iota(parent.begin(), parent.end(), int64_t{0});
  const auto root = [&](int64_t s) {
    while (parent[static_cast<size_t>(s)] != s) s = parent[static_cast<size_t>(s)];
    return s;
  };
  const int64_t* row = segments.const_data_ptr<int64_t>();
  for (int64_t s = 0; s < count; ++s, row += 6) {
    for (const int range : {2, 4}) {
      for (int64_t key = row[range]; key < row[range + 1]; ++key) {
        int64_t& first = owner[static_cast<size_t>(key)];
        if (first < 0) first = s;
        const int64_t a = root(first), b = root(s);
        parent[static_cast<size_t>(std::max(a, b))] = std::min(a, b);
      }
    }
  }
  std::map<int64_t, std::vector<int64_t>> clusters;
  for (int64_t s = 0; s < count; ++s) clusters[root(s)].push_back(s);
  std::vector<std::vector<int64_t>> result;
  for (auto& [first, members] : clusters) result.push_back(std::move(members));
  return result;
}

}  // namespace sgrpo::ops
