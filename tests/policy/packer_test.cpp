// Rows -> micro-batches: the layout that a language model reads, and where rows are cut.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "policy/language_policy.h"
#include "sgrpo/core/error.h"
#include "testing/tiny_policy.h"

namespace sgrpo::policy {
namespace {

using Ints = std::vector<int64_t>;
using Rows = std::vector<TrainRow>;

Ints ints_of(const at::Tensor& values) {
  const at::Tensor flat = values.to(at::kLong).contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

/// A text prompt of `length` tokens 100, 101, ... with positions 0, 1, ...
std::shared_ptr<EncodedPrompt> counted_prompt(int64_t length = 3) {
  auto prompt = std::make_shared<EncodedPrompt>();
  prompt->token_ids = at::arange(100, 100 + length, at::kLong);
  prompt->position_ids = at::arange(length, at::kLong).unsqueeze(0).expand({3, length}).clone();
  prompt->patches.pixel_values = at::empty({0, 12});
  prompt->patches.grid_thw = at::empty({0, 3}, at::kLong);
  return prompt;
}

/// A row whose completion is 10, 11, ...
TrainRow counted_row(const std::shared_ptr<const EncodedPrompt>& prompt,
                     int64_t length,
                     int64_t group = 0) {
  Ints ids;
  for (int64_t t = 0; t < length; ++t) ids.push_back(10 + t);
  TrainRow row = completion_row(prompt, ids);
  row.group = group;
  for (Decision& decision : row.decisions) decision.advantage = length == 1 ? -0.5f : 0.5f;
  return row;
}

std::vector<PackedBatch> packed(const Rows& rows, const Budget& budget = {}) {
  return testing::TinyPolicy::instance().policy().pack(rows, {}, budget);
}

const LanguageInputs& inputs_of(const PackedBatch& batch) {
  return dynamic_cast<const LanguageInputs&>(*batch.inputs);
}

TEST(Packer, shared_prompt_gives_the_hand_made_layout) {
  const auto prompt = counted_prompt();
  const auto batches = packed({counted_row(prompt, 3), counted_row(prompt, 1)});
  ASSERT_EQ(batches.size(), 1u);
  const LanguageInputs& inputs = inputs_of(batches[0]);
  const LossBatch& loss = batches[0].loss;
  EXPECT_EQ(ints_of(inputs.tokens.token_ids), (Ints{100, 101, 102, 10, 11}));
  EXPECT_EQ(ints_of(inputs.tokens.position_ids[0]), (Ints{0, 1, 2, 3, 4}));
  EXPECT_EQ(ints_of(inputs.tokens.position_ids[2]), (Ints{0, 1, 2, 3, 4}));
  // q range, prefix, self: the prompt, then the first completion; the second has no input token.
  EXPECT_EQ(ints_of(inputs.tokens.plan.table()), (Ints{0, 3, 0, 0, 0, 3, 3, 5, 0, 3, 3, 5}));
  EXPECT_EQ(ints_of(inputs.logit_rows), (Ints{2, 3, 4, 2}));
  EXPECT_EQ(ints_of(loss.labels), (Ints{10, 11, 12, 10}));
  EXPECT_EQ(ints_of(loss.sequence_index), (Ints{0, 0, 0, 1}));
  EXPECT_EQ(ints_of(loss.cu_seqlens), (Ints{0, 3, 4}));
  EXPECT_TRUE(loss.weight.equal(at::ones({4})));
  EXPECT_TRUE(loss.advantages.equal(at::tensor({0.5f, 0.5f, 0.5f, -0.5f})));
  EXPECT_EQ(loss.group, (Ints{0, 0}));
  EXPECT_EQ(loss.row, (Ints{0, 1}));
  EXPECT_FALSE(loss.old_logprobs.defined());
  EXPECT_FALSE(loss.sampler_logprobs.defined());
  EXPECT_FALSE(loss.unit.defined());
}

TEST(Packer, copied_prompts_give_one_causal_segment_a_row) {
  const auto prompt = counted_prompt();
  const auto batches =
      packed({counted_row(prompt, 3), counted_row(prompt, 1)}, {.share_prefix = false});
  const LanguageInputs& inputs = inputs_of(batches[0]);
  EXPECT_EQ(ints_of(inputs.tokens.token_ids), (Ints{100, 101, 102, 10, 11, 100, 101, 102}));
  EXPECT_EQ(ints_of(inputs.tokens.position_ids[1]), (Ints{0, 1, 2, 3, 4, 0, 1, 2}));
  EXPECT_EQ(ints_of(inputs.tokens.plan.table()), (Ints{0, 5, 0, 0, 0, 5, 5, 8, 5, 5, 5, 8}));
  EXPECT_EQ(ints_of(inputs.logit_rows), (Ints{2, 3, 4, 7}));
}

using Context = std::vector<std::pair<int64_t, int64_t>>;

/// What the row behind decision m sees: (token, position) pairs in order.
Context context_of(const LanguageInputs& inputs, int64_t m) {
  const int64_t row = inputs.logit_rows[m].item<int64_t>();
  const auto segments = inputs.tokens.plan.table().accessor<int64_t, 2>();
  Context context;
  const auto add = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      context.emplace_back(inputs.tokens.token_ids[i].item<int64_t>(),
                           inputs.tokens.position_ids[0][i].item<int64_t>());
    }
  };
  for (int64_t s = 0; s < inputs.tokens.plan.num_segments(); ++s) {
    if (row < segments[s][0] || row >= segments[s][1]) continue;
    add(segments[s][2], segments[s][3]);
    // The last query row sees the whole self range, every earlier one a key less.
    add(segments[s][4], segments[s][5] - (segments[s][1] - 1 - row));
  }
  return context;
}

TEST(Packer, every_decision_sees_its_prompt_and_its_own_past_only) {
  const auto first = counted_prompt(4), second = counted_prompt(2);
  first->position_ids = first->position_ids + 5;  // as after an image: not 0, 1, 2, ...
  const Rows rows = {counted_row(first, 2),
                     counted_row(first, 5),
                     counted_row(first, 1),
                     counted_row(second, 3, 1),
                     counted_row(second, 3, 1)};
  for (const bool share_prefix : {true, false}) {
    const auto batches = packed(rows, {.share_prefix = share_prefix});
    ASSERT_EQ(batches.size(), 1u);
    int64_t m = 0;
    for (const TrainRow& row : rows) {
      Context expected;
      for (int64_t i = 0; i < row.prompt->num_tokens(); ++i)
        expected.emplace_back(100 + i, row.prompt->position_ids[0][i].item<int64_t>());
      for (const Decision& decision : row.decisions) {
        EXPECT_EQ(batches[0].loss.labels[m].item<int64_t>(), decision.label);
        EXPECT_EQ(context_of(inputs_of(batches[0]), m++), expected) << share_prefix;
        expected.emplace_back(decision.label, expected.back().second + 1);
      }
    }
    EXPECT_EQ(m, batches[0].loss.num_decisions());
  }
}

TEST(Packer, completions_go_on_from_the_prompts_largest_position) {
  const auto prompt = counted_prompt();
  prompt->position_ids[1][1] = 9;  // a tall image: height runs ahead
  const auto batches = packed({counted_row(prompt, 3)});
  for (int64_t axis = 0; axis < 3; ++axis) {
    const at::Tensor positions = inputs_of(batches[0]).tokens.position_ids[axis];
    EXPECT_EQ(ints_of(positions.slice(0, 3)), (Ints{10, 11})) << axis;
  }
}

TEST(Packer, pixels_follow_the_order_of_their_prompts) {
  const auto text = counted_prompt();
  Rows rows;
  for (int64_t p = 0; p < 3; ++p) {
    const auto prompt = p == 1 ? text : counted_prompt();
    if (p != 1) {
      prompt->patches.pixel_values = at::full({4, 12}, static_cast<double>(p));
      prompt->patches.grid_thw = at::tensor(Ints{1, 2, 2}, at::kLong).reshape({1, 3});
      prompt->image_rows = {1};
    }
    rows.push_back(counted_row(prompt, 2, p));
    rows.push_back(counted_row(prompt, 2, p));
  }
  const auto shared = packed(rows);
  const model::PackedTokens& once = inputs_of(shared[0]).tokens;
  EXPECT_EQ(once.pixel_values.sizes(), (at::IntArrayRef{8, 12}));
  EXPECT_EQ(ints_of(once.pixel_values.select(1, 0)), (Ints{0, 0, 0, 0, 2, 2, 2, 2}));
  EXPECT_EQ(once.grid_thw.size(0), 2);
  EXPECT_EQ(ints_of(once.image_rows), (Ints{1, 11}));  // 3 + 1 + 1 rows a group
  const auto copied = packed(rows, {.share_prefix = false});
  const model::PackedTokens& twice = inputs_of(copied[0]).tokens;
  EXPECT_EQ(twice.pixel_values.size(0), 16);
  EXPECT_EQ(twice.grid_thw.size(0), 4);
  EXPECT_EQ(ints_of(twice.image_rows), (Ints{1, 5, 17, 21}));
  const auto plain = packed({rows[2]});
  EXPECT_EQ(inputs_of(plain[0]).tokens.pixel_values.sizes(), (at::IntArrayRef{0, 12}));
  EXPECT_EQ(inputs_of(plain[0]).tokens.grid_thw.sizes(), (at::IntArrayRef{0, 3}));
}

Ints tokens_of_passes(const Rows& rows, const Budget& budget) {
  Ints tokens;
  for (const PackedBatch& batch : packed(rows, budget))
    tokens.push_back(inputs_of(batch).tokens.num_tokens());
  return tokens;
}

/// Groups of two rows, 3 prompt tokens + 2 input tokens each; group 2 has nine rows: 12 tokens.
Rows four_groups() {
  Rows rows;
  for (const int64_t group : {0, 1, 2, 3}) {
    const auto prompt = counted_prompt();
    for (int64_t i = 0; i < (group == 2 ? 9 : 2); ++i)
      rows.push_back(counted_row(prompt, 2, group));
  }
  return rows;
}

TEST(Packer, the_budget_cuts_between_groups_and_large_ones_inside) {
  EXPECT_EQ(tokens_of_passes(four_groups(), {.tokens = 10}), (Ints{10, 10, 10}));
  EXPECT_EQ(tokens_of_passes(four_groups(), {.tokens = 10, .whole_groups = true}),
            (Ints{10, 12, 5}));
  EXPECT_EQ(tokens_of_passes(four_groups(), {.tokens = 9, .whole_groups = true}),
            (Ints{5, 5, 12, 5}));
  // Without sharing a group costs 2 * (3 + 1) tokens.
  const Rows rows = four_groups();
  const Rows two(rows.begin(), rows.begin() + 4);
  EXPECT_EQ(tokens_of_passes(two, {.tokens = 15, .share_prefix = false}), (Ints{8, 8}));
  EXPECT_EQ(tokens_of_passes(two, {.tokens = 16, .share_prefix = false}), Ints{16});
  EXPECT_EQ(tokens_of_passes({rows[0]}, {.tokens = 1}), Ints{4});  // a row is never cut
  EXPECT_TRUE(packed({}).empty());
}

TEST(Packer, rows_keep_their_places_over_passes) {
  Ints places;
  for (const PackedBatch& batch : packed(four_groups(), {.tokens = 10}))
    places.insert(places.end(), batch.loss.row.begin(), batch.loss.row.end());
  Ints expected(15);
  for (size_t i = 0; i < 15; ++i) expected[i] = static_cast<int64_t>(i);
  EXPECT_EQ(places, expected);
}

TEST(Packer, a_group_in_pieces_scores_and_learns_as_the_whole) {
  const testing::TinyPolicy tiny;
  const auto prompt = tiny.prompts()[1];
  Rows rows;
  for (const int64_t length : {3, 1, 5, 2}) rows.push_back(counted_row(prompt, length));
  const auto learn = [&](const Budget& budget, size_t passes) {
    for (const ParameterSegment& segment : tiny.policy().arena().segments)
      segment.weight.mutable_grad() = at::Tensor();
    std::vector<at::Tensor> logprobs, gradients;
    const auto batches = tiny.policy().pack(rows, {}, budget);
    EXPECT_EQ(batches.size(), passes);
    for (const PackedBatch& batch : batches) {
      const at::Tensor scored = tiny.policy().score(batch).logprobs;
      (scored * batch.loss.advantages).sum().backward();
      logprobs.push_back(scored.detach());
    }
    for (const ParameterSegment& segment : tiny.policy().arena().segments)
      gradients.push_back(segment.weight.grad().flatten());
    return std::pair(at::cat(logprobs), at::cat(gradients));
  };
  const auto [whole, gradient] = learn({}, 1);
  const auto [pieces, summed] = learn({.tokens = prompt->num_tokens() + 5}, 2);
  EXPECT_LT((whole - pieces).abs().max().item<double>(), 1e-5);
  // f32 sums of about 100 tokens, in another order.
  const double size = gradient.abs().max().item<double>();
  EXPECT_LT((gradient - summed).abs().max().item<double>(), 1e-4 * size);
}

TEST(Packer, injected_rows_are_marked_and_what_is_not_given_stays_open) {
  const auto prompt = counted_prompt();
  Rows rows = {counted_row(prompt, 2), counted_row(prompt, 2)};
  rows[0].decisions[0].sampler_logprob = -1.5f;
  rows[0].decisions[1].sampler_logprob = -2.5f;
  rows[0].decisions[1].unit = 4;
  rows[0].decisions[1].weight = 0;
  rows[1].origin = Origin::kGroundTruth;
  const auto batches = packed(rows);
  const LossBatch& loss = batches[0].loss;
  EXPECT_EQ(ints_of(loss.is_injected), (Ints{0, 0, 1, 1}));
  EXPECT_EQ(loss.sampler_logprobs[1].item<float>(), -2.5f);
  EXPECT_TRUE(std::isnan(loss.sampler_logprobs[2].item<float>()));
  EXPECT_TRUE(std::isnan(loss.sampler_logprobs[3].item<float>()));
  EXPECT_EQ(ints_of(loss.unit), (Ints{-1, 4, -1, -1}));
  EXPECT_EQ(ints_of(loss.in_loss()), (Ints{1, 0, 1, 1}));
}

TEST(Packer, a_decision_that_reads_past_its_row_is_refused) {
  TrainRow row = counted_row(counted_prompt(), 2);
  row.decisions[1].reads = 4;
  try {
    packed({row});
    FAIL() << "a decision beyond its row was packed";
  } catch (const core::ContractError& error) {
    EXPECT_NE(std::string(error.what()).find("a decision reads token 4, expected 0..3"),
              std::string::npos)
        << error.what();
  }
}

TEST(Packer, labels_beyond_the_vocabulary_are_refused_before_they_reach_a_device) {
  TrainRow row = counted_row(counted_prompt(), 2);
  row.decisions[1].label = 408;
  EXPECT_NE(testing::message_of<core::ContractError>([&] {
              packed({row});
            }).find("a decision's label is 408, expected 0..407"),
            std::string::npos);
}

}  // namespace
}  // namespace sgrpo::policy
