// The same sequences packed as prompt tries, one by one, and through a cache.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "model/golden_model.h"
#include "sgrpo/core/error.h"
#include "testing/expect_close.h"
#include "testing/random_tensor.h"

namespace sgrpo::model {
namespace {

using sgrpo::testing::expect_bitwise_equal;
using sgrpo::testing::expect_close;
using sgrpo::testing::expect_close_in_norm;
using sgrpo::testing::random_ids;
using sgrpo::testing::refusal;

/// The prompt of a golden case.
PackedTokens prompt_of(const GoldenCase& c) {
  PackedTokens prompt = c.input;
  prompt.token_ids = prompt.token_ids.slice(0, 0, c.prompt_length);
  prompt.position_ids = prompt.position_ids.slice(1, 0, c.prompt_length);
  prompt.plan = one_segment(c.prompt_length);
  return prompt;
}

at::Tensor positions_behind(const PackedTokens& prompt, int64_t count) {
  return (at::arange(count) + prompt.position_ids.max() + 1).expand({3, count});
}

/// Prompt and completion as one causal sequence.
PackedTokens joined(const PackedTokens& prompt, const at::Tensor& completion) {
  PackedTokens result = prompt;
  result.token_ids = at::cat({prompt.token_ids, completion});
  result.position_ids =
      at::cat({prompt.position_ids, positions_behind(prompt, completion.size(0))}, 1);
  result.plan = one_segment(result.token_ids.size(0));
  return result;
}

/// Prompts, each with its completions behind it, every prompt once.
PackedTokens tries(const std::vector<std::pair<PackedTokens, std::vector<at::Tensor>>>& groups) {
  std::vector<at::Tensor> tokens, positions, pixels, grids, image_rows;
  std::vector<ops::AttentionSegment> segments;
  int64_t next = 0;
  for (const auto& [prompt, completions] : groups) {
    const int64_t begin = next, end = next + prompt.num_tokens();
    tokens.push_back(prompt.token_ids);
    positions.push_back(prompt.position_ids);
    pixels.push_back(prompt.pixel_values);
    grids.push_back(prompt.grid_thw);
    image_rows.push_back(prompt.image_rows + begin);
    segments.push_back({begin, end, begin, begin, begin, end});
    next = end;
    for (const at::Tensor& completion : completions) {
      const int64_t length = completion.size(0);
      tokens.push_back(completion);
      positions.push_back(positions_behind(prompt, length));
      segments.push_back({next, next + length, begin, end, next, next + length});
      next += length;
    }
  }
  return {.token_ids = at::cat(tokens),
          .position_ids = at::cat(positions, 1),
          .pixel_values = at::cat(pixels),
          .grid_thw = at::cat(grids),
          .image_rows = at::cat(image_rows),
          .plan = ops::AttentionPlan::make(segments, {next, next}, /*causal=*/true)};
}

struct Groups {
  PackedTokens first = prompt_of(golden_case("image")), second = prompt_of(golden_case("images")),
               text = prompt_of(golden_case("text"));
  at::Tensor a = random_ids({4}, 280, 1), b = random_ids({1}, 280, 2), c = random_ids({7}, 280, 3);
  PackedTokens packed = tries({{first, {a, b, c}}, {text, {b}}, {second, {c, a}}});

  std::vector<PackedTokens> separate() const {
    return {joined(first, a),
            joined(first, b),
            joined(first, c),
            joined(text, b),
            joined(second, c),
            joined(second, a)};
  }
};

/// Rows of `packed` that hold the completions, in the order of separate().
std::vector<at::Tensor> completion_rows(const PackedTokens& packed, const at::Tensor& hidden) {
  std::vector<at::Tensor> result;
  const auto rows = packed.plan.table().accessor<int64_t, 2>();
  for (int64_t s = 0; s < packed.plan.num_segments(); ++s)
    if (rows[s][3] > rows[s][2]) result.push_back(hidden.slice(0, rows[s][0], rows[s][1]));
  return result;
}

TEST(PackedTries, give_the_hidden_states_of_separate_sequences) {
  const Checkpoint checkpoint = Checkpoint::golden();
  const auto model = checkpoint.load();
  const Groups groups;
  const auto packed = completion_rows(groups.packed, model->forward(groups.packed));
  const auto separate = groups.separate();
  ASSERT_EQ(packed.size(), separate.size());
  for (size_t i = 0; i < packed.size(); ++i) {
    const at::Tensor alone = model->forward(separate[i]);
    expect_close(packed[i], alone.slice(0, -packed[i].size(0)), 1e-5, core::str("sequence ", i));
  }
}

TEST(PackedTries, give_the_gradients_of_separate_sequences) {
  const Checkpoint checkpoint = Checkpoint::golden();
  const Groups groups;
  const auto together = checkpoint.load(), apart = checkpoint.load();
  // Weights per row and feature, so that no two rows are interchangeable.
  const auto weighted = [](const at::Tensor& rows, size_t i) {
    return (rows * sgrpo::testing::random_normal(rows.sizes(), 50 + i).to(at::kFloat)).sum();
  };
  const auto packed = completion_rows(groups.packed, together->forward(groups.packed));
  at::Tensor loss = at::zeros({});
  for (size_t i = 0; i < packed.size(); ++i) loss = loss + weighted(packed[i], i);
  loss.backward();
  const auto separate = groups.separate();
  for (size_t i = 0; i < separate.size(); ++i)
    weighted(apart->forward(separate[i]).slice(0, -packed[i].size(0)), i).backward();
  const auto got = gradients(*together), expected = gradients(*apart);
  for (size_t i = 0; i < got.size(); ++i)
    expect_close_in_norm(got[i].second, expected[i].second, 1e-5, got[i].first);
}

TEST(PackedTries, two_runs_give_the_same_bits) {
  const Checkpoint checkpoint = Checkpoint::golden();
  const auto model = checkpoint.load();
  const Groups groups;
  expect_bitwise_equal(model->forward(groups.packed), model->forward(groups.packed));
}

TEST(Cache, prefill_and_single_steps_give_the_hidden_states_of_one_pass) {
  const Checkpoint checkpoint = Checkpoint::golden();
  const auto model = checkpoint.load();
  const at::NoGradGuard guard;
  for (const char* name : {"text", "image", "images"}) {
    const GoldenCase c = golden_case(name);
    const PackedTokens prompt = prompt_of(c);
    const int64_t length = c.prompt_length, total = c.input.num_tokens();
    KvCache cache = model->make_cache(total + 5);
    // The completion's slots lie apart from the prompt's, as in sampling.
    std::vector<at::Tensor> rows = {model->forward_cached(prompt, at::arange(length), cache)};
    for (int64_t t = length; t < total; ++t) {
      const PackedTokens step{.token_ids = c.input.token_ids.slice(0, t, t + 1),
                              .position_ids = c.input.position_ids.slice(1, t, t + 1),
                              .pixel_values = at::empty({0, 0}),
                              .grid_thw = at::empty({0, 3}, at::kLong),
                              .image_rows = {},
                              .plan = step_plan(length, length + 5, t + 6)};
      rows.push_back(model->forward_cached(step, at::full({1}, t + 5, at::kLong), cache));
    }
    expect_close(at::cat(rows), c.hidden, 2e-5, name);
  }
}

TEST(Cache, is_refused_while_gradients_are_recorded) {
  const Checkpoint checkpoint = Checkpoint::golden();
  const auto model = checkpoint.load();
  KvCache cache = model->make_cache(60);
  const PackedTokens prompt = prompt_of(golden_case("text"));
  EXPECT_EQ(refusal([&] { model->forward_cached(prompt, at::arange(prompt.num_tokens()), cache); }),
            "forward_cached runs without gradient: set a NoGradGuard");
}

TEST(Forward, refuses_placeholders_that_do_not_match_the_images) {
  const Checkpoint checkpoint = Checkpoint::golden();
  PackedTokens input = golden_case("image").input;
  input.image_rows = input.image_rows.slice(0, 1);
  EXPECT_EQ(refusal([&] { checkpoint.load()->forward(input); }),
            "the batch has 34 image placeholders, its images give 35 features");
}

TEST(Forward, refuses_patches_of_another_size) {
  const Checkpoint checkpoint = Checkpoint::golden();
  PackedTokens input = golden_case("image").input;
  input.pixel_values = input.pixel_values.slice(1, 0, 95);
  EXPECT_EQ(refusal([&] { checkpoint.load()->forward(input); }),
            "pixel_values has shape [140, 95], the vision config takes [N, 96]");
}

}  // namespace
}  // namespace sgrpo::model
