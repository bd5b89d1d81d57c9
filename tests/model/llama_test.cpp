// What Llama's configuration decides; its numbers are those of families_test.cpp.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "model/family_golden.h"

namespace sgrpo::model {
namespace {

class Llama : public ::testing::Test {
 protected:
  /// What loading says after one change of config.json.
  std::string error_with(const char* key, const core::Json& value) {
    checkpoint_.config[key] = value;
    return load_error(checkpoint_);
  }
  Checkpoint checkpoint_ = FamilyGolden("llama").checkpoint;  // tied, attention_bias is true
};

TEST_F(Llama, attention_bias_decides_about_four_biases_a_layer) {
  checkpoint_.config["attention_bias"] = false;
  EXPECT_NE(remarks_of(checkpoint_).find("the checkpoint has 8 tensors that this architecture"),
            std::string::npos);
  std::erase_if(checkpoint_.tensors,
                [](const auto& entry) { return entry.first.ends_with("bias"); });
  EXPECT_EQ(remarks_of(checkpoint_), "");
  checkpoint_.config.erase("attention_bias");  // files older than the key
  EXPECT_EQ(remarks_of(checkpoint_), "");
}

TEST_F(Llama, untied_output_has_a_matrix_of_its_own) {
  checkpoint_.config["tie_word_embeddings"] = false;
  EXPECT_NE(load_error(checkpoint_).find("lm_head.weight"), std::string::npos);
  checkpoint_.tensors.emplace_back("lm_head.weight", at::ones({96, 16}));
  const auto model = checkpoint_.load();
  EXPECT_TRUE(at::equal(model->output_weight(), at::ones({96, 16})));
}

TEST_F(Llama, head_dim_left_out_is_the_share_of_a_head) {
  checkpoint_.config.erase("head_dim");
  EXPECT_EQ(read_spec(checkpoint_.config, "config.json").head_dim, 8);
}

TEST_F(Llama, mlp_bias_is_refused) {
  EXPECT_EQ(error_with("mlp_bias", true),
            "tiny/config.json: mlp_bias is true, expected false: no family here has such biases");
}

TEST_F(Llama, scaled_rotations_of_llama_3_are_refused_by_name) {
  EXPECT_EQ(error_with("rope_parameters",
                       {{"rope_type", "llama3"}, {"rope_theta", 500000.0}, {"factor", 8.0}}),
            "tiny/config.json: rope type 'llama3' is not supported, expected default or mrope");
}

}  // namespace
}  // namespace sgrpo::model
