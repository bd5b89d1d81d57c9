// Qwen2, Qwen3, Llama, Qwen2-VL and Qwen3-VL against transformers.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>
#include <ostream>
#include <set>

#include "model/family_golden.h"
#include "testing/expect_close.h"
#include "testing/random_tensor.h"

namespace sgrpo::model {
namespace {

using sgrpo::testing::expect_close;
using sgrpo::testing::expect_close_in_norm;
using sgrpo::testing::refusal;

class Family : public ::testing::TestWithParam<const char*> {
 protected:
  const FamilyGolden golden_{GetParam()};
};

std::string name_of(const ::testing::TestParamInfo<const char*>& test) { return test.param; }

INSTANTIATE_TEST_SUITE_P(All,
                         Family,
                         ::testing::Values("qwen2", "qwen3", "llama", "qwen2_vl", "qwen3_vl"),
                         name_of);

// Both sides round in float32 and in another order: about ten layers of sums of at most 64 products
// of size 1 make 1e-6 to 1e-5; a wrong formula makes 1e-3 or more.
TEST_P(Family, hidden_states_and_scores_match) {
  const auto model = golden_.checkpoint.load();
  for (const std::string& name : golden_.cases) {
    const PackedTokens input = golden_.input(name);
    expect_close(model->forward(input), golden_.at(name, "hidden"), 2e-5, name + ": hidden");
    const auto [logprobs, entropy] = scores(*model, input, golden_.prompt_length(name));
    expect_close(logprobs, golden_.at(name, "logprobs"), 2e-5, name + ": logprobs");
    expect_close(entropy, golden_.at(name, "entropy"), 2e-5, name + ": entropy");
    const at::NoGradGuard guard;
    expect_close(model->forward(input), golden_.at(name, "hidden"), 2e-5, name + ": no gradient");
  }
}

TEST_P(Family, gradients_match_for_every_parameter) {
  const auto model = golden_.checkpoint.load();
  const std::string name = golden_.cases.back();
  const auto [logprobs, entropy] = scores(*model, golden_.input(name), golden_.prompt_length(name));
  logprobs.mean().neg().backward();
  EXPECT_EQ(model->parameters().size(), golden_.checkpoint.tensors.size());
  for (const auto& [parameter, grad] : gradients(*model)) {
    ASSERT_TRUE(grad.defined()) << parameter;
    const at::Tensor expected = golden_.tensors.at("grad/" + parameter);
    // A bias of keys shifts all scores of a query alike and has no gradient but rounding.
    if (parameter.ends_with("k_proj.bias"))
      expect_close(grad, expected, 2e-5, parameter);
    else
      expect_close_in_norm(grad, expected, 2e-5, parameter);
  }
}

TEST_P(Family, layout_is_the_checkpoints) {
  using Entries = std::set<std::pair<std::string, std::vector<int64_t>>>;
  Entries expected;
  for (const auto& [name, tensor] : golden_.checkpoint.tensors)
    expected.emplace(name, tensor.sizes().vec());
  Entries found;
  const auto layout = read_layout(golden_.checkpoint.config, "config.json");
  for (const Weight& weight : layout) found.emplace(weight.name, weight.shape);
  EXPECT_EQ(layout.size(), expected.size());
  EXPECT_EQ(found, expected);
}

/// How many weights have a role, and how many of them stand in blocks, end a branch of a block, and
/// take an adapter.
struct RoleCount {
  int64_t all = 0, in_blocks = 0, ends = 0, adapters = 0;
  bool operator==(const RoleCount&) const = default;
};

std::ostream& operator<<(std::ostream& out, const RoleCount& count) {
  return out << count.all << "/" << count.in_blocks << "/" << count.ends << "/" << count.adapters;
}

TEST_P(Family, layout_tells_what_every_weight_serves) {
  std::map<Role, RoleCount> found;
  for (const Weight& weight : read_layout(golden_.checkpoint.config, "config.json")) {
    RoleCount& count = found[weight.place.role];
    ++count.all;
    count.in_blocks += weight.place.block >= 0;
    count.ends += weight.place.joins_residual;
    count.adapters += weight.takes_adapter;
  }
  // Two layers of seven matrices and two norms each, norms of q and k, biases of q, k, v, of o.
  const std::string family = GetParam();
  const core::Json& config = golden_.checkpoint.config;
  const bool has_bias = config.value("attention_bias", false), has_norms = family[4] == '3';
  const bool has_qkv_bias = has_bias || family == "qwen2" || family == "qwen2_vl";
  const int64_t decoder = 2 * (9 + 2 * has_norms + 3 * has_qkv_bias + has_bias);
  const int64_t ends = 2 * (2 + has_bias);
  std::map<Role, RoleCount> expected = {{Role::kEmbedding, {1, 0, 0, 0}},
                                        {Role::kDecoder, {decoder, decoder, ends, 14}},
                                        {Role::kNorm, {1, 0, 0, 0}}};
  if (found.count(Role::kHead) != 0) expected[Role::kHead] = {1, 0, 0, 0};
  EXPECT_EQ(found.count(Role::kHead) == 0, config.value("tie_word_embeddings", false));
  if (family.ends_with("vl")) {
    const int64_t blocks = config["vision_config"]["depth"].get<int64_t>();
    const int64_t outside = family == "qwen3_vl" ? 3 : 1;  // patches, their bias and positions
    expected[Role::kTower] = {outside + 12 * blocks, 12 * blocks, 4 * blocks, 4 * blocks};
    const int64_t mergers = family == "qwen3_vl" ? 3 : 1;
    expected[Role::kMerger] = {6 * mergers, 0, 0, 2 * mergers};
  }
  EXPECT_EQ(found, expected);
}

TEST_P(Family, a_cache_gives_the_hidden_states_of_one_pass) {
  const auto model = golden_.checkpoint.load();
  const at::NoGradGuard guard;
  for (const std::string& name : golden_.cases) {
    const PackedTokens whole = golden_.input(name);
    const int64_t length = golden_.prompt_length(name), total = whole.num_tokens();
    PackedTokens prompt = whole;
    prompt.token_ids = prompt.token_ids.slice(0, 0, length);
    prompt.position_ids = prompt.position_ids.slice(1, 0, length);
    prompt.plan = one_segment(length);
    KvCache cache = model->make_cache(total);
    std::vector<at::Tensor> rows = {model->forward_cached(prompt, at::arange(length), cache)};
    for (int64_t t = length; t < total; ++t) {
      const PackedTokens step{.token_ids = whole.token_ids.slice(0, t, t + 1),
                              .position_ids = whole.position_ids.slice(1, t, t + 1),
                              .pixel_values = at::empty({0, 0}),
                              .grid_thw = at::empty({0, 3}, at::kLong),
                              .image_rows = {},
                              .plan = step_plan(length, length, t + 1)};
      rows.push_back(model->forward_cached(step, at::full({1}, t, at::kLong), cache));
    }
    expect_close(at::cat(rows), golden_.at(name, "hidden"), 2e-5, name);
  }
}

class TextFamily : public Family {};
INSTANTIATE_TEST_SUITE_P(All, TextFamily, ::testing::Values("qwen2", "qwen3", "llama"), name_of);

TEST_P(TextFamily, has_no_vision_and_refuses_pixels) {
  const ModelSpec spec = read_spec(golden_.checkpoint.config, "config.json");
  EXPECT_FALSE(spec.has_vision);
  EXPECT_EQ(spec.image_token_id, -1);
  EXPECT_EQ(spec.video_token_id, -1);
  PackedTokens input = golden_.input("text");
  input.pixel_values = at::zeros({4, 24});
  input.grid_thw = at::tensor({1, 2, 2}, at::kLong).view({1, 3});
  EXPECT_EQ(refusal([&] { golden_.checkpoint.load()->forward(input); }),
            core::str("the batch has images, but ", GetParam(), " has no vision tower"));
}

TEST_P(TextFamily, a_tensor_of_a_tower_is_left_alone) {
  Checkpoint checkpoint = golden_.checkpoint;
  checkpoint.tensors.emplace_back("visual.merger.ln_q.weight", at::zeros({4}));
  EXPECT_EQ(remarks_of(checkpoint)
                .find("tiny/config.json: the checkpoint has 1 tensor that this "
                      "architecture does not use: visual.merger.ln_q.weight; "),
            0u);
}

TEST(Qwen3, attention_bias_decides_about_four_biases_a_layer) {
  Checkpoint checkpoint = FamilyGolden("qwen3").checkpoint;  // attention_bias is true there
  checkpoint.config["attention_bias"] = false;
  EXPECT_NE(remarks_of(checkpoint).find("the checkpoint has 8 tensors that this architecture"),
            std::string::npos);
  std::erase_if(checkpoint.tensors,
                [](const auto& entry) { return entry.first.ends_with("bias"); });
  EXPECT_EQ(remarks_of(checkpoint), "");
}

TEST(Qwen3, head_dim_left_out_is_128) {
  core::Json config = FamilyGolden("qwen3").checkpoint.config;
  config.erase("head_dim");
  EXPECT_EQ(read_spec(config, "config.json").head_dim, 128);
}

}  // namespace
}  // namespace sgrpo::model
