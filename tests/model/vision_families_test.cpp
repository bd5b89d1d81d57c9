// The towers of Qwen2-VL and Qwen3-VL by themselves, and what is said of their configurations.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "model/family_golden.h"
#include "model/qwen2_vl/vision.h"
#include "model/qwen3_vl/vision.h"
#include "testing/expect_close.h"

namespace sgrpo::model {
namespace {

using sgrpo::testing::expect_bitwise_equal;
using sgrpo::testing::expect_close;

void expect_errors(const std::string& family, const std::vector<ConfigChange>& changes) {
  const FamilyGolden golden(family);
  for (const ConfigChange& change : changes) {
    Checkpoint checkpoint = golden.checkpoint;
    checkpoint.config[core::Json::json_pointer(change.path)] = change.value;
    EXPECT_EQ(load_error(checkpoint), change.error) << change.path;
  }
}

TEST(Qwen2Vl, features_match) {
  const FamilyGolden golden("qwen2_vl");
  const ModelSource source = golden.checkpoint.source();
  WeightLoader weights(source, cpu_options());
  const qwen2_vl::Tower tower(qwen2_vl::read_vision_config(source.config, source.where), weights);
  for (const char* name : {"image", "images"}) {
    const PackedTokens input = golden.input(name);
    const VisionFeatures features = tower.encode(input.pixel_values, input.grid_thw);
    expect_close(features.tokens, golden.at(name, "features"), 2e-5, name);
    EXPECT_TRUE(features.deepstack.empty());
  }
}

TEST(Qwen3Vl, features_of_all_depths_match) {
  const FamilyGolden golden("qwen3_vl");
  const ModelSource source = golden.checkpoint.source();
  WeightLoader weights(source, cpu_options());
  const qwen3_vl::Tower tower(qwen3_vl::read_vision_config(source.config, source.where), weights);
  for (const char* name : {"image", "images"}) {
    const PackedTokens input = golden.input(name);
    const VisionFeatures features = tower.encode(input.pixel_values, input.grid_thw);
    expect_close(features.tokens, golden.at(name, "features"), 2e-5, name);
    ASSERT_EQ(features.deepstack.size(), 2u);
    for (size_t i = 0; i < 2; ++i) {
      const std::string key = core::str("deepstack.", i);
      expect_close(features.deepstack[i], golden.at(name, key), 2e-5, name + (": " + key));
    }
  }
}

// The published grid is 48 x 48; the sizes hold an image of one merged patch and two long ones.
TEST(Qwen3Vl, positions_are_interpolated_bit_for_bit) {
  const FamilyGolden golden("qwen3_vl");
  const auto taps = qwen3_vl::interpolate_grid(golden.at("grid", "sizes"), 2, 48);
  expect_bitwise_equal(taps.rows, golden.at("grid", "rows"));
  expect_bitwise_equal(taps.weights, golden.at("grid", "weights"));
}

TEST(Qwen3Vl, corners_of_an_image_are_corners_of_the_grid) {
  const auto taps = qwen3_vl::interpolate_grid(at::tensor({1, 4, 6}, at::kLong).view({1, 3}), 2, 5);
  // Merged patches, 2 x 2 each, row by row: the first patch is one corner, the last the opposite.
  EXPECT_EQ(taps.rows[0][0].item<int64_t>(), 0);
  EXPECT_EQ(taps.weights[0][0].item<float>(), 1.0f);
  EXPECT_EQ(taps.rows[23][0].item<int64_t>(), 24);
  EXPECT_EQ(taps.weights[23][0].item<float>(), 1.0f);
}

TEST(Qwen3Vl, names_without_the_language_model_prefix_are_read) {
  const FamilyGolden golden("qwen3_vl");
  Checkpoint flat = golden.checkpoint;
  for (auto& [name, tensor] : flat.tensors)
    name = name.starts_with("model.language_model.") ? "model." + name.substr(21) : name.substr(6);
  const PackedTokens input = golden.input("images");
  expect_bitwise_equal(flat.load()->forward(input), golden.checkpoint.load()->forward(input));
}

TEST(Qwen3Vl, freezing_the_merger_freezes_those_of_all_depths) {
  const FamilyGolden golden("qwen3_vl");
  const auto model = golden.checkpoint.load(cpu_options({Module::kMerger}));
  for (const Parameter& parameter : model->parameters()) {
    const bool is_merger = parameter.name.find("merger") != std::string::npos;
    EXPECT_EQ(parameter.tensor.requires_grad(), !is_merger) << parameter.name;
  }
}

// As in transformers: merger i belongs to the block of place i, in whatever order; blocks beyond
// the depth give no features, features beyond the layers go nowhere.
TEST(Qwen3Vl, deepstack_indexes_are_taken_as_transformers_takes_them) {
  const FamilyGolden golden("qwen3_vl");
  const PackedTokens input = golden.input("images");
  const auto features_of = [&](const core::Json& blocks, bool swap_mergers) {
    Checkpoint checkpoint = golden.checkpoint;
    checkpoint.config["vision_config"]["deepstack_visual_indexes"] = blocks;
    if (swap_mergers) {
      for (auto& [name, tensor] : checkpoint.tensors) {
        const size_t at = name.find("deepstack_merger_list.");
        if (at != std::string::npos) name[at + 22] = name[at + 22] == '0' ? '1' : '0';
      }
    }
    const ModelSource source = checkpoint.source();
    WeightLoader weights(source, cpu_options());
    const qwen3_vl::Tower tower(qwen3_vl::read_vision_config(source.config, source.where), weights);
    return tower.encode(input.pixel_values, input.grid_thw).deepstack;
  };
  const auto expected = features_of({0, 2}, false), swapped = features_of({2, 0}, true);
  ASSERT_EQ(swapped.size(), 2u);
  for (size_t i = 0; i < 2; ++i) expect_bitwise_equal(swapped[i], expected[i]);
  const auto cut = features_of({0, 16}, false);
  ASSERT_EQ(cut.size(), 1u);
  expect_bitwise_equal(cut[0], expected[0]);
  EXPECT_TRUE(features_of({8, 16}, false).empty());

  Checkpoint shallow = golden.checkpoint;  // one layer, features of two depths
  shallow.config["text_config"]["num_hidden_layers"] = 1;
  std::erase_if(shallow.tensors, [](const auto& entry) {
    return entry.first.find("language_model.layers.1.") != std::string::npos;
  });
  EXPECT_EQ(load_error(shallow), "");
  shallow.load()->forward(input);
}

// Of interleaved parts the second and third alone are read.
TEST(Qwen3Vl, interleaved_parts_need_not_add_up) {
  const FamilyGolden golden("qwen3_vl");
  const auto hidden = [&](const core::Json& parts) {
    Checkpoint checkpoint = golden.checkpoint;
    checkpoint.config["text_config"]["rope_parameters"]["mrope_section"] = parts;
    return checkpoint.load()->forward(golden.input("images"));
  };
  expect_bitwise_equal(hidden({2, 2, 2}), hidden({4, 2, 2}));
  EXPECT_FALSE(at::equal(hidden({2, 1, 2}), hidden({4, 2, 2})));
}

TEST(Qwen2Vl, contradictory_configurations_are_named_by_key) {
  expect_errors(
      "qwen2_vl",
      {{"/vision_config/hidden_size",
        15,
        "tiny/config.json: vision_config.hidden_size is 15, expected the text hidden_size 16"},
       {"/vision_config/num_heads",
        3,
        "tiny/config.json (vision_config): embed_dim 8 / num_heads 3 must be a multiple of 4 "
        "(rows and columns each turn half of a head)"},
       {"/vision_config/hidden_act",
        "silu",
        "tiny/config.json (vision_config): hidden_act is 'silu', expected quick_gelu"},
       {"/vision_config/embed_dim",
        nullptr,
        "tiny/config.json (vision_config): 'embed_dim' is null, expected an integer"},
       {"/text_config/rope_parameters/mrope_interleaved",
        true,
        "tiny/config.json (text_config): mrope_interleaved is true, which this architecture does "
        "not know"},
       {"/image_token_id", 96, "tiny/config.json: 'image_token_id' is 96, expected 0..95"}});
}

TEST(Qwen3Vl, contradictory_configurations_are_named_by_key) {
  expect_errors(
      "qwen3_vl",
      {{"/vision_config/num_position_embeddings",
        24,
        "tiny/config.json (vision_config): num_position_embeddings is 24, expected a square: rows "
        "x columns"},
       {"/text_config/rope_parameters/mrope_section",
        {2, 2},
        "tiny/config.json (text_config): mrope_section is [2, 2], expected three parts of at most "
        "head_dim / 2 = 8"},
       {"/vision_config/out_hidden_size",
        8,
        "tiny/config.json: vision_config.out_hidden_size is 8, expected the text hidden_size 16"},
       {"/text_config/rope_parameters/mrope_interleaved",
        false,
        "tiny/config.json (text_config): mrope_interleaved is false, which this architecture does "
        "not know"},
       {"/text_config/rope_parameters",
        nullptr,
        "tiny/config.json: mrope_section is missing (under rope_scaling or rope_parameters)"}});
}

}  // namespace
}  // namespace sgrpo::model
