// Who attends to whom in a packed batch: checked, clustered and laid out for kernels once, then
// read by every layer, forward and backward.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace sgrpo::ops {

/// A run of query rows and the keys they see: row j sees all keys of the prefix, then its own: all
/// of them, or, in a causal plan, those before self_end - (q_end - q_begin) + j + 1.
struct AttentionSegment {
  int64_t q_begin = 0, q_end = 0;
  int64_t prefix_begin = 0, prefix_end = 0;
  int64_t self_begin = 0, self_end = 0;
};

/// One call of a variable-length kernel: query rows [cu_q[i], cu_q[i+1]) see the seqused_k[i] keys
/// from cu_k[i] on; a causal part is aligned at the last row and key. Rows outside of
/// [cu_q[0], cu_q[N]) and sequences without keys get nothing from this part.
struct AttentionPart {
  at::Tensor cu_q;       // [N+1] i32
  at::Tensor cu_k;       // [N+1] i32; the last is the number of keys
  at::Tensor seqused_k;  // [N] i32
  bool causal = false;
  int64_t max_q = 0, max_k = 0;  // of one sequence
};

/// The attention of one packed batch. A prompt is a segment without prefix, each of its completions
/// a segment whose prefix is the prompt; a window of a vision tower is a segment of a plan that is
/// not causal; keys may lie in a cache. Copies share tensors.
class AttentionPlan {
 public:
  /// How many rows the queries have, and the keys at least.
  struct Size {
    int64_t queries = 0, keys = 0;
  };

  /// No rows.
  AttentionPlan() = default;
  /// Segments cover the query rows in order, each once. Throws: c10::IndexError for ranges beyond
  /// `size`; c10::ValueError for a segment with fewer own keys than its rows need, or rows that
  /// are covered twice or not at all.
  static AttentionPlan make(const std::vector<AttentionSegment>& segments, Size size, bool causal);
  /// One segment that sees itself alone for each run of `lengths` rows.
  static AttentionPlan of_lengths(const std::vector<int64_t>& lengths, bool causal);

  /// The plan with its tables on `device`: the one upload of a batch.
  AttentionPlan to(at::Device device) const;

  /// [S, 6] i64: the segments in the order of their members; what our kernels read.
  const at::Tensor& table() const { return table_; }
  /// Segments grouped so that two clusters share no key: their backward passes may run at the same
  /// time. Cluster c holds cluster_members[cluster_begin[c]] to before cluster_begin[c + 1].
  /// Clusters and members ascend. [C+1] and [S] i64; both empty in a plan of decode steps.
  const at::Tensor& cluster_begin() const { return cluster_begin_; }
  const at::Tensor& cluster_members() const { return cluster_members_; }
  /// The same attention as calls whose results merge by log-sum-exp, in this order: prefixes, where
  /// any segment has one, then own keys.
  const std::vector<AttentionPart>& parts() const { return parts_; }

  int64_t num_segments() const { return table_.defined() ? table_.size(0) : 0; }
  int64_t num_queries() const { return size_.queries; }
  int64_t num_keys() const { return size_.keys; }
  bool is_causal() const { return is_causal_; }

 private:
  friend class DecodePlan;
  at::Tensor table_, cluster_begin_, cluster_members_;
  std::vector<AttentionPart> parts_;
  Size size_;
  bool is_causal_ = true;
};

/// The plan of decode steps: one query a row, which sees its prompt and its own keys so far. Its
/// tensors are made once, for `capacity` rows, and written in place: a step costs one addition, and
/// pointers never change.
class DecodePlan {
 public:
  /// What the next query of a row sees, in slots of the cache; its own key included.
  struct Row {
    int64_t prefix_begin = 0, prefix_end = 0;
    int64_t self_begin = 0, self_end = 0;
  };

  /// For up to `capacity` rows over a cache of `num_slots` keys.
  DecodePlan(int64_t capacity, int64_t num_slots, at::Device device);
  /// Row i of the next step is rows[i]. Throws: c10::ValueError for more rows than the capacity,
  /// and as AttentionPlan::make.
  void assign(const std::vector<Row>& rows);
  /// Every row has one key more, behind those that it has. Throws: c10::IndexError if one would lie
  /// beyond the cache.
  void advance();

  const AttentionPlan& attention() const { return plan_; }

 private:
  at::Tensor table_;            // [capacity, 6]
  AttentionPart prefix_, own_;  // [capacity + 1] each
  int64_t self_end_ = 0;        // the largest
  AttentionPlan plan_;          // its tensors are the first rows of those above
};

}  // namespace sgrpo::ops
