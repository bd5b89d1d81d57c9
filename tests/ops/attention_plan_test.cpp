// Attention plans: checks, clusters and parts of segments, and plans of decode steps.
#include "sgrpo/ops/attention_plan.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <set>

#include "ops/layouts.h"
#include "reference/segment_attention.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/rng.h"
#include "sgrpo/ops/ops.h"
#include "testing/expect_close.h"
#include "testing/random_tensor.h"

namespace sgrpo::ops {
namespace {

using sgrpo::testing::expect_bitwise_equal;
using sgrpo::testing::expect_close;
using sgrpo::testing::random_normal;
using sgrpo::testing::refusal;
using Ints = std::vector<int64_t>;

Ints ints(const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(at::kLong).contiguous().flatten();
  return {values.const_data_ptr<int64_t>(), values.const_data_ptr<int64_t>() + values.numel()};
}

std::vector<Ints> clusters_of(const AttentionPlan& plan) {
  const Ints begin = ints(plan.cluster_begin()), members = ints(plan.cluster_members());
  std::vector<Ints> result;
  for (size_t c = 0; c + 1 < begin.size(); ++c)
    result.emplace_back(members.begin() + begin[c], members.begin() + begin[c + 1]);
  return result;
}

TEST(AttentionPlan, broken_segments_are_named) {
  const auto error = [](const Ints& rows, AttentionPlan::Size size) {
    return refusal([&] { plan_of(table(rows), size, true); });
  };
  EXPECT_EQ(error({0, 4, 0, 2, 2, 6}, {4, 6}), "");
  EXPECT_EQ(error({0, 5, 0, 0, 0, 6}, {4, 6}), "segment 0: queries [0, 5) beyond [0, 4)");
  EXPECT_EQ(error({0, 4, 0, 2, 2, 7}, {4, 6}), "segment 0: keys [0, 2) and [2, 7) beyond [0, 6)");
  EXPECT_EQ(error({0, 4, 0, 0, 0, 3}, {4, 6}), "segment 0 has 3 own keys for 4 query rows");
  EXPECT_EQ(error({0, 3, 0, 0, 0, 3}, {4, 4}), "segments cover 3 of 4 query rows");
  EXPECT_EQ(
      error({0, 2, 0, 0, 0, 2, 3, 4, 0, 0, 3, 4}, {4, 4}),
      "segment 1 begins at query 3, expected 2: segments cover the query rows in order, each once");
  EXPECT_EQ(
      error({0, 4, 0, 0, 0, 4, 0, 4, 0, 0, 0, 4}, {4, 4}),
      "segment 1 begins at query 0, expected 4: segments cover the query rows in order, each once");
  EXPECT_EQ(error({0, 1, 0, 0, 0, 1}, {1, int64_t{1} << 31}),
            "an attention plan of 1 queries and 2147483648 keys, expected at most 2147483647");
}

TEST(AttentionPlan, clusters_hold_what_shares_a_key) {
  EXPECT_EQ(clusters_of(tries().plan()), (std::vector<Ints>{{0, 1, 2}, {3, 4, 5}}));
  EXPECT_EQ(clusters_of(windows().plan()), (std::vector<Ints>{{0}, {1}, {2}}));
  EXPECT_EQ(clusters_of(decode().plan()), (std::vector<Ints>{{0, 1}, {2}}));
}

/// Clusters by looking at every pair of segments, until nothing grows.
std::vector<Ints> slow_clusters(const std::vector<AttentionSegment>& segments) {
  const auto keys_of = [](const AttentionSegment& s) {
    std::set<int64_t> keys;
    for (int64_t key = s.prefix_begin; key < s.prefix_end; ++key) keys.insert(key);
    for (int64_t key = s.self_begin; key < s.self_end; ++key) keys.insert(key);
    return keys;
  };
  std::vector<std::set<int64_t>> keys;
  std::vector<Ints> clusters;
  for (size_t s = 0; s < segments.size(); ++s) {
    std::set<int64_t> own = keys_of(segments[s]);
    Ints members = {static_cast<int64_t>(s)};
    for (size_t c = clusters.size(); c-- > 0;) {
      const bool is_apart = std::none_of(
          keys[c].begin(), keys[c].end(), [&](int64_t key) { return own.count(key) != 0; });
      if (is_apart) continue;
      own.insert(keys[c].begin(), keys[c].end());
      members.insert(members.end(), clusters[c].begin(), clusters[c].end());
      keys.erase(keys.begin() + static_cast<std::ptrdiff_t>(c));
      clusters.erase(clusters.begin() + static_cast<std::ptrdiff_t>(c));
    }
    std::sort(members.begin(), members.end());
    keys.push_back(own);
    clusters.push_back(members);
  }
  std::sort(clusters.begin(), clusters.end());
  return clusters;
}

TEST(AttentionPlan, clusters_of_random_segments_are_those_of_every_pair) {
  constexpr int64_t kKeys = 60;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const core::RandomKey key{.seed = seed};
    uint64_t draws = 0;
    const auto below = [&](int64_t bound) {
      return static_cast<int64_t>(key.below(static_cast<uint64_t>(bound), draws++));
    };
    std::vector<AttentionSegment> segments;
    for (int64_t s = 0; s < 8; ++s) {
      AttentionSegment segment{.q_begin = s, .q_end = s + 1};
      segment.self_begin = below(kKeys - 4);
      segment.self_end = segment.self_begin + 1 + below(4);
      segment.prefix_begin = below(kKeys - 8);
      segment.prefix_end = segment.prefix_begin + (below(2) == 0 ? 0 : below(8));
      segments.push_back(segment);
    }
    const auto plan = AttentionPlan::make(segments, {8, kKeys}, /*causal=*/true);
    EXPECT_EQ(clusters_of(plan), slow_clusters(segments)) << "seed " << seed;
  }
}

TEST(AttentionPlan, parts_merge_to_the_attention_of_the_segments) {
  for (const Layout& layout : layouts()) {
    const at::Tensor q = random_normal({layout.num_queries, 4, 8}, 1);
    const at::Tensor k = random_normal({layout.num_keys, 2, 8}, 2);
    const at::Tensor v = random_normal({layout.num_keys, 2, 8}, 3);
    expect_close(reference::attention_by_parts(q, k, v, layout.plan().parts(), 0.3),
                 reference::segment_attention(q, k, v, layout.segments, 0.3, layout.causal),
                 1e-13,
                 layout.name);
  }
}

void expect_part(const AttentionPart& part, const Ints& cu_q, const Ints& cu_k, const Ints& used) {
  EXPECT_EQ(ints(part.cu_q), cu_q);
  EXPECT_EQ(ints(part.cu_k), cu_k);
  EXPECT_EQ(ints(part.seqused_k), used);
  for (const at::Tensor* tensor : {&part.cu_q, &part.cu_k, &part.seqused_k})
    EXPECT_EQ(tensor->scalar_type(), at::kInt);
}

// The second prompt's rows lie between those that see a prefix: a sequence without keys.
TEST(AttentionPlan, completions_of_a_prompt_are_one_sequence_of_the_prefix_part) {
  const AttentionPlan plan = tries().plan();
  ASSERT_EQ(plan.parts().size(), 2u);
  const AttentionPart &prefix = plan.parts()[0], &own = plan.parts()[1];
  expect_part(prefix, {9, 15, 38, 62}, {0, 15, 15, 62}, {9, 0, 23});
  EXPECT_FALSE(prefix.causal);
  EXPECT_EQ(prefix.max_q, 24);
  EXPECT_EQ(prefix.max_k, 23);
  expect_part(own, {0, 9, 14, 15, 38, 45, 62}, {0, 9, 14, 15, 38, 45, 62}, {9, 5, 1, 23, 7, 17});
  EXPECT_TRUE(own.causal);
  EXPECT_EQ(own.max_q, 23);
  EXPECT_EQ(own.max_k, 23);
}

TEST(AttentionPlan, lengths_alone_give_one_part) {
  const auto plan = AttentionPlan::of_lengths({16, 4, 25}, /*causal=*/false);
  expect_bitwise_equal(plan.table(), windows().segments);
  EXPECT_EQ(plan.num_queries(), 45);
  EXPECT_EQ(plan.num_keys(), 45);
  ASSERT_EQ(plan.parts().size(), 1u);
  expect_part(plan.parts()[0], {0, 16, 20, 45}, {0, 16, 20, 45}, {16, 4, 25});
  EXPECT_FALSE(plan.parts()[0].causal);
}

TEST(AttentionPlan, lies_on_the_device_it_was_moved_to) {
  const AttentionPlan plan = tries().plan().to(at::kMeta);
  EXPECT_TRUE(plan.table().is_meta());
  EXPECT_TRUE(plan.cluster_begin().is_meta());
  EXPECT_TRUE(plan.cluster_members().is_meta());
  for (const AttentionPart& part : plan.parts()) {
    EXPECT_TRUE(part.cu_q.is_meta());
    EXPECT_TRUE(part.cu_k.is_meta());
    EXPECT_TRUE(part.seqused_k.is_meta());
  }
  EXPECT_EQ(plan.num_queries(), 62);
}

/// Rows of two prompts after `done` tokens; a cache of 100 slots.
std::vector<DecodePlan::Row> rows_after(int64_t done) {
  return {{0, 21, 40, 40 + done}, {0, 21, 60, 60 + done}, {21, 33, 80, 80 + done}};
}

void expect_same_plan(const AttentionPlan& got, const std::vector<DecodePlan::Row>& rows) {
  std::vector<AttentionSegment> segments;
  for (const auto& [prefix_begin, prefix_end, begin, end] : rows) {
    const auto row = static_cast<int64_t>(segments.size());
    segments.push_back({row, row + 1, prefix_begin, prefix_end, begin, end});
  }
  const auto count = static_cast<int64_t>(rows.size());
  const auto expected = AttentionPlan::make(segments, {count, 100}, /*causal=*/true);
  expect_bitwise_equal(got.table(), expected.table());
  EXPECT_EQ(got.num_queries(), count);
  EXPECT_EQ(got.num_keys(), 100);
  ASSERT_EQ(got.parts().size(), expected.parts().size());
  for (size_t i = 0; i < got.parts().size(); ++i) {
    const AttentionPart &part = got.parts()[i], &other = expected.parts()[i];
    expect_part(part, ints(other.cu_q), ints(other.cu_k), ints(other.seqused_k));
    EXPECT_EQ(part.causal, other.causal);
    EXPECT_EQ(part.max_q, other.max_q);
    EXPECT_EQ(part.max_k, other.max_k);
  }
}

TEST(DecodePlan, a_step_further_is_the_plan_of_one_key_more) {
  DecodePlan plan(3, 100, at::kCPU);
  plan.assign(rows_after(1));
  const void* const table = plan.attention().table().const_data_ptr();
  const void* const used = plan.attention().parts()[1].seqused_k.const_data_ptr();
  for (int64_t done = 1; done <= 5; ++done) {
    if (done > 1) plan.advance();
    expect_same_plan(plan.attention(), rows_after(done));
  }
  std::vector<DecodePlan::Row> rest = rows_after(6);
  rest.erase(rest.begin());  // a completion that has ended
  plan.assign(rest);
  expect_same_plan(plan.attention(), rest);
  EXPECT_EQ(plan.attention().table().const_data_ptr(), table);
  EXPECT_EQ(plan.attention().parts()[1].seqused_k.const_data_ptr(), used);
}

TEST(DecodePlan, rows_beyond_its_capacity_and_keys_beyond_the_cache_are_refused) {
  DecodePlan plan(2, 100, at::kCPU);
  EXPECT_EQ(refusal([&] { plan.assign(rows_after(1)); }),
            "a decode step of 3 rows, its plan holds up to 2");
  EXPECT_EQ(refusal([&] {
              plan.assign({{0, 21, 90, 101}});
            }),
            "segment 0: keys [0, 21) and [90, 101) beyond [0, 100)");
  plan.assign({{0, 21, 30, 31}, {0, 21, 90, 99}});
  plan.advance();
  EXPECT_EQ(refusal([&] { plan.advance(); }), "a decode step needs slot 100 of a cache of 100");
}

TEST(DecodePlan, attention_by_it_has_no_derivative) {
  DecodePlan plan(3, 100, at::kCPU);
  plan.assign(rows_after(2));
  const at::Tensor q = random_normal({3, 2, 8}, 1).requires_grad_();
  const at::Tensor k = random_normal({100, 1, 8}, 2);
  const at::Tensor out = segment_attention(q, k, k, plan.attention(), 1.0);
  expect_bitwise_equal(
      out, segment_attention(q, k, k, plan_of(plan.attention().table(), {3, 100}, true), 1.0));
  EXPECT_EQ(refusal([&] { torch::autograd::grad({out.sum()}, {q}); }),
            "attention by a plan of decode steps has no derivative");
}

}  // namespace
}  // namespace sgrpo::ops
