#include "sgrpo/ops/attention_plan.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "ops/attention_layout.h"

namespace sgrpo::ops {
namespace {

static_assert(sizeof(AttentionSegment) == 6 * sizeof(int64_t), "a table is a copy of segments");

at::Tensor table_of(const std::vector<AttentionSegment>& segments) {
  at::Tensor table = at::empty({static_cast<int64_t>(segments.size()), 6}, at::kLong);
  std::copy(segments.begin(),
            segments.end(),
            reinterpret_cast<AttentionSegment*>(table.mutable_data_ptr<int64_t>()));
  return table;
}

AttentionPart part_of(const PartRows& rows) {
  return {.cu_q = at::tensor(rows.cu_q, at::kInt),
          .cu_k = at::tensor(rows.cu_k, at::kInt),
          .seqused_k = at::tensor(rows.seqused_k, at::kInt),
          .causal = rows.causal,
          .max_q = rows.max_q,
          .max_k = rows.max_k};
}

/// Writes `values` to the beginning of `buffer`, which a part then shows.
at::Tensor write(const at::Tensor& buffer, const std::vector<int32_t>& values) {
  return buffer.narrow(0, 0, static_cast<int64_t>(values.size()))
      .copy_(at::tensor(values, at::kInt));
}

AttentionPart write(const AttentionPart& buffer, const PartRows& rows) {
  return {.cu_q = write(buffer.cu_q, rows.cu_q),
          .cu_k = write(buffer.cu_k, rows.cu_k),
          .seqused_k = write(buffer.seqused_k, rows.seqused_k),
          .causal = rows.causal,
          .max_q = rows.max_q,
          .max_k = rows.max_k};
}

}  // namespace

AttentionPlan AttentionPlan::make(const std::vector<AttentionSegment>& segments,
                                  Size size,
                                  bool causal) {
  check_segments(segments, size, causal);
  AttentionPlan plan;
  plan.size_ = size;
  plan.is_causal_ = causal;
  plan.table_ = table_of(segments);
  std::vector<int64_t> begin = {0}, members;
  for (const std::vector<int64_t>& cluster : cluster_segments(segments)) {
    members.insert(members.end(), cluster.begin(), cluster.end());
    begin.push_back(static_cast<int64_t>(members.size()));
  }
  plan.cluster_begin_ = at::tensor(begin, at::kLong);
  plan.cluster_members_ = at::tensor(members, at::kLong);
  for (const PartRows& rows : split_into_parts(segments, size.keys, causal))
    plan.parts_.push_back(part_of(rows));
  return plan;
}

AttentionPlan AttentionPlan::of_lengths(const std::vector<int64_t>& lengths, bool causal) {
  std::vector<AttentionSegment> segments;
  int64_t begin = 0;
  for (const int64_t length : lengths) {
    const int64_t end = begin + length;
    segments.push_back({.q_begin = begin, .q_end = end, .self_begin = begin, .self_end = end});
    begin = end;
  }
  return make(segments, {.queries = begin, .keys = begin}, causal);
}

AttentionPlan AttentionPlan::to(at::Device device) const {
  AttentionPlan plan = *this;
  if (!table_.defined() || table_.device() == device) return plan;
  for (at::Tensor* tensor : {&plan.table_, &plan.cluster_begin_, &plan.cluster_members_})
    *tensor = tensor->to(device);
  for (AttentionPart& part : plan.parts_) {
    for (at::Tensor* tensor : {&part.cu_q, &part.cu_k, &part.seqused_k})
      *tensor = tensor->to(device);
  }
  return plan;
}

DecodePlan::DecodePlan(int64_t capacity, int64_t num_slots, at::Device device) {
  table_ = at::empty({capacity, 6}, at::TensorOptions().dtype(at::kLong).device(device));
  const auto buffer = at::TensorOptions().dtype(at::kInt).device(device);
  for (AttentionPart* part : {&prefix_, &own_}) {
    for (at::Tensor* tensor : {&part->cu_q, &part->cu_k, &part->seqused_k})
      *tensor = at::empty({capacity + 1}, buffer);
  }
  plan_.size_.keys = num_slots;
  plan_.cluster_begin_ = plan_.cluster_members_ = at::empty({0}, buffer.dtype(at::kLong));
}

void DecodePlan::assign(const std::vector<Row>& rows) {
  const auto count = static_cast<int64_t>(rows.size());
  TORCH_CHECK_VALUE(count <= table_.size(0),
                    "a decode step of ",
                    count,
                    " rows, its plan holds up to ",
                    table_.size(0));
  std::vector<AttentionSegment> segments;
  segments.reserve(rows.size());
  self_end_ = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto& [prefix_begin, prefix_end, self_begin, self_end] = rows[static_cast<size_t>(i)];
    segments.push_back({i, i + 1, prefix_begin, prefix_end, self_begin, self_end});
    self_end_ = std::max(self_end_, self_end);
  }
  plan_.size_.queries = count;
  check_segments(segments, plan_.size_, plan_.is_causal_);
  plan_.table_ = table_.narrow(0, 0, count).copy_(table_of(segments));
  const std::vector<PartRows> parts =
      split_into_parts(segments, plan_.size_.keys, plan_.is_causal_);
  plan_.parts_.clear();
  if (parts.size() == 2) plan_.parts_.push_back(write(prefix_, parts.front()));
  if (!parts.empty()) plan_.parts_.push_back(write(own_, parts.back()));
}

void DecodePlan::advance() {
  if (plan_.parts_.empty()) return;
  TORCH_CHECK_INDEX(self_end_ < plan_.size_.keys,
                    "a decode step needs slot ",
                    self_end_,
                    " of a cache of ",
                    plan_.size_.keys);
  ++self_end_;
  plan_.table_.select(1, 5).add_(1);  // self_end
  AttentionPart& own = plan_.parts_.back();
  own.seqused_k.add_(1);
  ++own.max_k;
}

}  // namespace sgrpo::ops
