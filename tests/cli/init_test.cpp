// sgrpo init: weights are a function of seed and position, in every dtype and size.
#include <ATen/CPUGeneratorImpl.h>

#include "cli/program.h"
#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/core/rng.h"
#include "testing/tiny_families.h"

namespace sgrpo::cli {
namespace {

class Init : public ::testing::Test {
 protected:
  /// Runs init for a configuration; returns the opened folder.
  checkpoint::ModelFolder init(const core::Json& config, int64_t seed = 0) {
    const core::Json spec = {
        {"config", config},
        {"preprocessor", testing::tiny_preprocessor()},
        {"tokenizer", (testing::kRepository / "configs/study/tokenizer.json").string()}};
    scratch_.write("spec.yaml", spec.dump(2));  // JSON is YAML
    const std::filesystem::path folder = scratch_ / core::str("model-", count_++);
    const Outcome outcome = run({"init",
                                 "--spec",
                                 (scratch_ / "spec.yaml").string(),
                                 "--output",
                                 folder.string(),
                                 "--seed",
                                 std::to_string(seed),
                                 "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return checkpoint::ModelFolder(folder);
  }

  /// The tensor at a position of the layout, drawn in one call.
  static at::Tensor expected(const std::string& name,
                             const std::vector<int64_t>& shape,
                             uint64_t seed,
                             uint64_t position) {
    if (core::ends_with(name, "bias")) return at::zeros(shape);
    if (shape.size() == 1) return at::ones(shape);
    const core::RandomKey key{
        .seed = seed, .prompt_index = position, .purpose = core::Purpose::kInit};
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(key.bits());
    return at::empty(shape).normal_(0.0, 0.02, generator);
  }

  testing::Scratch scratch_;
  int count_ = 0;
};

TEST_F(Init, every_family_gets_the_numbers_of_seed_and_position) {
  for (const testing::TinyCheckpoint& tiny : testing::tiny_families()) {
    const checkpoint::ModelFolder folder = init(tiny.config, 5);
    uint64_t position = 0;
    for (const model::Weight& weight : model::read_layout(tiny.config, "tiny")) {
      const auto& [name, shape, place, takes_adapter] = weight;
      EXPECT_TRUE(at::equal(folder.read(name), expected(name, shape, 5, position))) << name;
      ++position;
    }
    EXPECT_EQ(folder.names().size(), position) << testing::family_name(tiny);
  }
}

TEST_F(Init, narrow_dtypes_are_the_rounded_numbers_of_float32) {
  core::Json config = testing::tiny_config();
  const checkpoint::ModelFolder wide = init(config, 2);
  for (const auto& [dtype, stored] : {std::pair("bfloat16", "BF16"), std::pair("float16", "F16")}) {
    config["dtype"] = dtype;
    const checkpoint::ModelFolder narrow = init(config, 2);
    EXPECT_EQ(narrow.names(), wide.names());
    for (const std::string& name : wide.names()) {
      EXPECT_EQ(narrow.entry(name).dtype, stored) << name;
      const at::Tensor tensor = narrow.read(name);
      EXPECT_TRUE(at::equal(tensor, wide.read(name).to(tensor.scalar_type()))) << name;
    }
  }
}

// The embedding of 262,145 x 36 numbers is drawn in two pieces; the last one ends in the middle of
// a block of sixteen.
TEST_F(Init, a_large_tensor_drawn_in_pieces_is_that_of_one_call) {
  core::Json config = testing::tiny_text_model("qwen2", "Qwen2ForCausalLM");
  config["vocab_size"] = 262145;
  config["hidden_size"] = 36;
  config["dtype"] = "bfloat16";
  const checkpoint::ModelFolder folder = init(config);
  const std::string name = "model.embed_tokens.weight";
  ASSERT_EQ(model::read_layout(config, "tiny").front().name, name);
  EXPECT_TRUE(at::equal(folder.read(name), expected(name, {262145, 36}, 0, 0).to(at::kBFloat16)));
}

}  // namespace
}  // namespace sgrpo::cli
