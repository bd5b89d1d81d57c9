// The published shapes: every tensor is known from config.json alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "sgrpo/model/model.h"
#include "testing/safetensors_reader.h"
#include "testing/scratch.h"

namespace sgrpo::model {
namespace {

struct Published {
  const char* name;
  int64_t parameters;  // counted by transformers (tests/golden/shapes/README.md)
  int64_t layers, heads, kv_heads;
};

class Shapes : public ::testing::TestWithParam<Published> {};

TEST_P(Shapes, layout_has_the_published_number_of_parameters) {
  const Published& published = GetParam();
  const std::string path = core::str(SGRPO_TESTS_DIR, "/golden/shapes/", published.name, ".json");
  const core::Json config = core::parse_json(sgrpo::testing::read_whole(path), path);
  int64_t parameters = 0;
  std::set<std::string> names;
  for (const Weight& weight : read_layout(config, path)) {
    parameters += weight.size();
    EXPECT_TRUE(names.insert(weight.name).second) << weight.name << " twice";
  }
  EXPECT_EQ(parameters, published.parameters);
  const ModelSpec spec = read_spec(config, path);
  EXPECT_EQ(spec.num_layers, published.layers);
  EXPECT_EQ(spec.num_heads, published.heads);
  EXPECT_EQ(spec.num_kv_heads, published.kv_heads);
  EXPECT_EQ(spec.head_dim, 128);
  EXPECT_EQ(spec.has_vision, config.contains("vision_config"));
}

INSTANTIATE_TEST_SUITE_P(All,
                         Shapes,
                         ::testing::Values(Published{"qwen2.5-1.5b", 1543714304, 28, 12, 2},
                                           Published{"qwen3-0.6b", 596049920, 28, 16, 8},
                                           Published{"qwen2-vl-2b", 2208985600, 28, 12, 2},
                                           Published{"qwen2.5-vl-3b", 3754622976, 36, 16, 2},
                                           Published{"qwen2.5-vl-7b", 8292166656, 28, 28, 4},
                                           Published{"qwen3-vl-2b", 2127532032, 28, 16, 8},
                                           Published{"qwen3-vl-4b", 4437815808, 36, 32, 8},
                                           Published{"qwen3-vl-8b", 8767123696, 36, 32, 8}),
                         [](const auto& test) {
                           std::string name(test.param.name);
                           std::replace(name.begin(), name.end(), '.', '_');
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// 2^20 x 2^20 and the like would overflow 64 bits: negative counts of parameters, or a plan of a
// few bytes.
TEST(VisionSizes, beyond_every_model_are_refused_by_key) {
  struct Bad {
    const char *published, *key;
    int64_t value;
    const char* error;
  };
  constexpr int64_t kHuge = int64_t{1} << 31;
  const Bad cases[] = {
      {"qwen2.5-vl-3b", "depth", kHuge, "'depth' is 2147483648, expected 1..1024"},
      {"qwen2.5-vl-3b", "hidden_size", kHuge, "'hidden_size' is 2147483648, expected 1..16777216"},
      {"qwen2.5-vl-3b", "num_heads", kHuge, "'num_heads' is 2147483648, expected 1..16777216"},
      {"qwen2.5-vl-3b",
       "out_hidden_size",
       kHuge,
       "'out_hidden_size' is 2147483648, expected 1..16777216"},
      {"qwen2.5-vl-3b",
       "intermediate_size",
       kHuge,
       "'intermediate_size' is 2147483648, expected 1..16777216"},
      {"qwen2.5-vl-3b", "in_channels", 17, "'in_channels' is 17, expected 1..16"},
      {"qwen2.5-vl-3b", "in_chans", 17, "'in_chans' is 17, expected 1..16"},
      {"qwen2.5-vl-3b", "patch_size", 1025, "'patch_size' is 1025, expected 1..1024"},
      {"qwen2.5-vl-3b",
       "temporal_patch_size",
       1025,
       "'temporal_patch_size' is 1025, expected 1..1024"},
      {"qwen2.5-vl-3b",
       "spatial_merge_size",
       1025,
       "'spatial_merge_size' is 1025, expected 1..1024"},
      {"qwen2.5-vl-3b",
       "spatial_merge_size",
       1024,
       "hidden_size x spatial_merge_size^2 is 1280 x 1048576, expected at most 16777216"},
      {"qwen2.5-vl-3b", "window_size", 1025, "'window_size' is 1025, expected 1..1024"},
      {"qwen2-vl-2b",
       "mlp_ratio",
       65536,
       "embed_dim x mlp_ratio is 1280 x 65536, expected at most 16777216"},
      {"qwen3-vl-2b",
       "intermediate_size",
       kHuge,
       "'intermediate_size' is 2147483648, expected 1..16777216"},
      {"qwen3-vl-2b",
       "num_position_embeddings",
       kHuge,
       "'num_position_embeddings' is 2147483648, expected 1..16777216"},
  };
  for (const Bad& bad : cases) {
    const std::string path = core::str(SGRPO_TESTS_DIR, "/golden/shapes/", bad.published, ".json");
    core::Json config = core::parse_json(sgrpo::testing::read_whole(path), path);
    config["vision_config"][bad.key] = bad.value;
    EXPECT_EQ(sgrpo::testing::message_of<core::UserError>([&] { read_layout(config, "c.json"); }),
              core::str("c.json (vision_config): ", bad.error));
  }
}

}  // namespace
}  // namespace sgrpo::model
