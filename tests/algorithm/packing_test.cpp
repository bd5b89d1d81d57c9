#include "sgrpo/algorithm/packing.h"
#include "sgrpo/model/packed_tokens.h"

#include <gtest/gtest.h>

#include "algorithm/fixtures.h"

namespace sgrpo::algorithm {
namespace {

using Ints = std::vector<int64_t>;

Ints ints(const at::Tensor& values) {
  const at::Tensor flat = values.to(at::kLong).contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

std::vector<TrainBatch> pack(const std::vector<RolloutGroup>& groups,
                             const PackingOptions& options = {}) {
  std::vector<const RolloutGroup*> pointers;
  for (const RolloutGroup& group : groups) pointers.push_back(&group);
  return pack_groups(pointers, options);
}

/// A prompt [100, 101, 102] with completions [10, 11, 12] and [10].
RolloutGroup short_group(const EncodedPrompt& prompt) {
  RolloutGroup group;
  group.prompt = &prompt;
  group.members = {make_member(1, 3), make_member(0, 1)};
  group.members[0].advantage = 0.5;
  group.members[1].advantage = -0.5;
  return group;
}

TEST(Packing, shared_prompt_gives_the_hand_made_layout) {
  const EncodedPrompt prompt = make_prompt(3);
  const auto batches = pack({short_group(prompt)});
  ASSERT_EQ(batches.size(), 1u);
  const TrainBatch& batch = batches[0];
  EXPECT_EQ(ints(batch.input->token_ids), (Ints{100, 101, 102, 10, 11}));
  EXPECT_EQ(ints(batch.input->position_ids[0]), (Ints{0, 1, 2, 3, 4}));
  EXPECT_EQ(ints(batch.input->position_ids[2]), (Ints{0, 1, 2, 3, 4}));
  // q range, prefix, self: the prompt, then the first completion; the second has no input token.
  EXPECT_EQ(ints(batch.input->plan.table()), (Ints{0, 3, 0, 0, 0, 3, 3, 5, 0, 3, 3, 5}));
  EXPECT_EQ(ints(batch.logit_rows), (Ints{2, 3, 4, 2}));
  EXPECT_EQ(ints(batch.labels), (Ints{10, 11, 12, 10}));
  EXPECT_EQ(ints(batch.sequence_index), (Ints{0, 0, 0, 1}));
  EXPECT_EQ(ints(batch.cu_seqlens), (Ints{0, 3, 4}));
  EXPECT_EQ(ints(batch.loss_mask), (Ints{1, 1, 1, 1}));
  EXPECT_EQ(batch.advantages[2].item<float>(), 0.5f);
  EXPECT_EQ(batch.advantages[3].item<float>(), -0.5f);
  EXPECT_EQ(batch.group_of_sequence, (Ints{0, 0}));
  EXPECT_EQ(batch.num_loss_tokens_global, 4);
  EXPECT_EQ(batch.num_sequences_global, 2);
  EXPECT_FALSE(batch.old_logprobs.defined());
}

TEST(Packing, copied_prompts_give_one_causal_segment_a_sequence) {
  const EncodedPrompt prompt = make_prompt(3);
  const auto batches = pack({short_group(prompt)}, {.share_prefix = false});
  const TrainBatch& batch = batches[0];
  EXPECT_EQ(ints(batch.input->token_ids), (Ints{100, 101, 102, 10, 11, 100, 101, 102}));
  EXPECT_EQ(ints(batch.input->position_ids[1]), (Ints{0, 1, 2, 3, 4, 0, 1, 2}));
  EXPECT_EQ(ints(batch.input->plan.table()), (Ints{0, 5, 0, 0, 0, 5, 5, 8, 5, 5, 5, 8}));
  EXPECT_EQ(ints(batch.logit_rows), (Ints{2, 3, 4, 7}));
  EXPECT_EQ(batch.num_loss_tokens_global, 4);
}

/// What the row behind loss token m sees: (token, position) pairs in order.
std::vector<std::pair<int64_t, int64_t>> context_of(const TrainBatch& batch, int64_t m) {
  const int64_t row = batch.logit_rows[m].item<int64_t>();
  const auto segments = batch.input->plan.table().accessor<int64_t, 2>();
  std::vector<std::pair<int64_t, int64_t>> context;
  const auto add = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      context.emplace_back(batch.input->token_ids[i].item<int64_t>(),
                           batch.input->position_ids[0][i].item<int64_t>());
    }
  };
  for (int64_t s = 0; s < batch.input->plan.num_segments(); ++s) {
    if (row < segments[s][0] || row >= segments[s][1]) continue;
    add(segments[s][2], segments[s][3]);
    // The last query row sees the whole self range, every earlier one a key less.
    add(segments[s][4], segments[s][5] - (segments[s][1] - 1 - row));
  }
  return context;
}

TEST(Packing, every_loss_token_sees_its_prompt_and_its_own_past_only) {
  EncodedPrompt first = make_prompt(4), second = make_prompt(2);
  first.position_ids = first.position_ids + 5;  // as after an image: not 0, 1, 2, ...
  std::vector<RolloutGroup> groups(2);
  groups[0].prompt = &first;
  groups[0].members = {make_member(1, 2), make_member(0, 5), make_member(0, 1)};
  groups[1].prompt = &second;
  groups[1].members = {make_member(0, 3), make_member(0, 3)};
  for (const bool share_prefix : {true, false}) {
    const auto batches = pack(groups, {.share_prefix = share_prefix});
    ASSERT_EQ(batches.size(), 1u);
    int64_t m = 0;
    for (const RolloutGroup& group : groups) {
      for (const GroupMember& member : group.members) {
        std::vector<std::pair<int64_t, int64_t>> expected;
        for (int64_t i = 0; i < group.prompt->num_tokens(); ++i) {
          expected.emplace_back(100 + i, group.prompt->position_ids[0][i].item<int64_t>());
        }
        for (const int64_t token : member.completion.token_ids) {
          EXPECT_EQ(batches[0].labels[m].item<int64_t>(), token);
          EXPECT_EQ(context_of(batches[0], m++), expected) << "share_prefix " << share_prefix;
          expected.emplace_back(token, expected.back().second + 1);
        }
      }
    }
    EXPECT_EQ(m, batches[0].num_loss_tokens());
  }
}

TEST(Packing, completions_go_on_from_the_prompts_largest_position) {
  EncodedPrompt prompt = make_prompt(3);
  prompt.position_ids[1][1] = 9;  // a tall image: height runs ahead
  RolloutGroup group;
  group.prompt = &prompt;
  group.members = {make_member(0, 3)};
  const auto batches = pack({group});
  for (int64_t axis = 0; axis < 3; ++axis) {
    EXPECT_EQ(ints(batches[0].input->position_ids[axis].slice(0, 3)), (Ints{10, 11})) << axis;
  }
}

TEST(Packing, pixels_follow_the_order_of_their_prompts) {
  std::vector<EncodedPrompt> prompts = {make_prompt(), make_prompt(), make_prompt()};
  for (const size_t p : {size_t{0}, size_t{2}}) {
    prompts[p].patches.pixel_values = at::full({4, 12}, static_cast<double>(p));
    prompts[p].patches.grid_thw = at::tensor({1, 2, 2}, at::kLong).reshape({1, 3});
    prompts[p].image_rows = {1};
  }
  std::vector<RolloutGroup> groups;
  for (const EncodedPrompt& prompt : prompts) groups.push_back(make_group(prompt, {1, 0}));
  const TrainBatch shared = pack(groups)[0];
  EXPECT_EQ(shared.input->pixel_values.sizes(), (at::IntArrayRef{8, 12}));
  EXPECT_EQ(ints(shared.input->pixel_values.select(1, 0)), (Ints{0, 0, 0, 0, 2, 2, 2, 2}));
  EXPECT_EQ(shared.input->grid_thw.size(0), 2);
  EXPECT_EQ(ints(shared.input->image_rows), (Ints{1, 11}));  // 3 + 1 + 1 rows a group
  const TrainBatch copied = pack(groups, {.share_prefix = false})[0];
  EXPECT_EQ(copied.input->pixel_values.size(0), 16);
  EXPECT_EQ(copied.input->grid_thw.size(0), 4);
  EXPECT_EQ(ints(copied.input->image_rows), (Ints{1, 5, 17, 21}));
  const TrainBatch text = pack({groups[1]})[0];
  EXPECT_EQ(text.input->pixel_values.sizes(), (at::IntArrayRef{0, 12}));
  EXPECT_EQ(text.input->grid_thw.sizes(), (at::IntArrayRef{0, 3}));
}

TEST(Packing, invalid_members_are_left_out_of_rows_and_denominators) {
  const EncodedPrompt prompt = make_prompt();
  RolloutGroup group = make_group(prompt, {1, 0, 0});
  group.members[1].verdict.status = VerdictStatus::kTimeout;
  RolloutGroup lost = make_group(prompt, {0, 0});
  for (GroupMember& member : lost.members) member.verdict.status = VerdictStatus::kError;
  const auto batches = pack({lost, group});
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].num_sequences(), 2);
  EXPECT_EQ(batches[0].num_loss_tokens_global, 4);
  EXPECT_EQ(batches[0].num_sequences_global, 2);
  EXPECT_EQ(batches[0].group_of_sequence, (Ints{1, 1}));
  EXPECT_TRUE(pack({lost}).empty());
}

TEST(Packing, budget_splits_between_groups_and_denominators_stay_global) {
  const EncodedPrompt prompt = make_prompt(3);
  // 3 prompt tokens + 2 completions of one input token each = 5 tokens a group.
  std::vector<RolloutGroup> groups(4, make_group(prompt, {1, 0}));
  groups[2] = make_group(prompt, {1, 0, 0, 0, 0, 0, 0, 0, 0});  // 12 tokens: beyond the budget
  const auto batches = pack(groups, {.micro_batch_tokens = 10});
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[0].input->num_tokens(), 10);
  EXPECT_EQ(batches[1].input->num_tokens(), 12);
  EXPECT_EQ(batches[2].input->num_tokens(), 5);
  EXPECT_EQ(batches[1].group_of_sequence, Ints(9, 2));
  for (const TrainBatch& batch : batches) {
    EXPECT_EQ(batch.num_loss_tokens_global, 30);
    EXPECT_EQ(batch.num_sequences_global, 15);
  }
  EXPECT_EQ(pack(groups, {.micro_batch_tokens = 9}).size(), 4u);
  // Without sharing a group costs 2 * (3 + 1) tokens.
  EXPECT_EQ(pack({groups[0], groups[1]}, {.micro_batch_tokens = 15, .share_prefix = false}).size(),
            2u);
}

TEST(Packing, skipped_dead_groups_still_count_in_the_denominators) {
  const EncodedPrompt prompt = make_prompt();
  std::vector<RolloutGroup> groups = {make_group(prompt, {0, 0}), make_group(prompt, {1, 0})};
  groups[1].members[0].advantage = 1;
  const auto batches = pack(groups, {.skip_zero_advantage = true});
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].group_of_sequence, (Ints{1, 1}));
  EXPECT_EQ(batches[0].num_loss_tokens_global, 8);
  EXPECT_EQ(batches[0].num_sequences_global, 4);
  EXPECT_EQ(pack(groups)[0].num_sequences(), 4);
  EXPECT_TRUE(pack({groups[0]}, {.skip_zero_advantage = true}).empty());
}

TEST(Packing, injected_members_are_marked_and_have_no_sampler_logprobs) {
  const EncodedPrompt prompt = make_prompt();
  RolloutGroup group = make_group(prompt, {0, 0});
  group.members[0].completion.sampler_logprobs = {-1.5f, -2.5f};
  group.members[1].completion.origin = Origin::kGroundTruth;
  group.members[1].completion.sampler_logprobs.clear();
  const TrainBatch batch = pack({group})[0];
  EXPECT_EQ(ints(batch.is_injected), (Ints{0, 0, 1, 1}));
  EXPECT_EQ(batch.sampler_logprobs[1].item<float>(), -2.5f);
  EXPECT_TRUE(std::isnan(batch.sampler_logprobs[2].item<float>()));
  EXPECT_TRUE(std::isnan(batch.sampler_logprobs[3].item<float>()));
}

TEST(Packing, an_empty_completion_is_refused) {
  const EncodedPrompt prompt = make_prompt();
  RolloutGroup group = make_group(prompt, {0, 1}, 12);
  group.members[1].completion.token_ids.clear();
  try {
    pack({group});
    FAIL() << "an empty completion was packed";
  } catch (const core::ContractError& error) {
    EXPECT_NE(std::string(error.what()).find("prompt 12: a completion has no tokens"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace sgrpo::algorithm
