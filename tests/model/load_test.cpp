// Checkpoints: every tensor once, freezing, layouts, and what is said of broken ones.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "model/golden_model.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/names.h"
#include "testing/expect_close.h"
#include "testing/random_tensor.h"
#include "testing/scratch.h"

namespace sgrpo::model {
namespace {

using sgrpo::testing::expect_bitwise_equal;
using sgrpo::testing::expect_close;
using sgrpo::testing::random_normal;

const std::string kMissingRemedy =
    "; is a shard missing, or model_type, a layer count or tie_word_embeddings in config.json "
    "wrong?";

TEST(Load, reads_every_tensor_once_and_names_every_parameter_in_file_order) {
  const Checkpoint checkpoint = Checkpoint::golden();
  std::vector<std::string> reads;
  const auto model = load_model(checkpoint.source(&reads), cpu_options());
  const std::vector<std::string> names = checkpoint.source().names;
  EXPECT_EQ(std::set<std::string>(reads.begin(), reads.end()).size(), reads.size());
  EXPECT_EQ(reads.size(), names.size());
  ASSERT_EQ(model->parameters().size(), names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(model->parameters()[i].name, names[i]);
    EXPECT_TRUE(model->parameters()[i].tensor.is_leaf()) << names[i];
    expect_bitwise_equal(model->parameters()[i].tensor, checkpoint.tensors[i].second, names[i]);
  }
}

TEST(Load, layout_is_the_checkpoints) {
  const Checkpoint checkpoint = Checkpoint::golden();
  std::set<std::pair<std::string, std::vector<int64_t>>> expected;
  for (const auto& [name, tensor] : checkpoint.tensors)
    expected.emplace(name, tensor.sizes().vec());
  const auto layout = read_layout(checkpoint.config, "config.json");
  EXPECT_EQ(layout.size(), expected.size());
  for (const Weight& weight : layout)
    EXPECT_EQ(expected.count({weight.name, weight.shape}), 1u) << weight.name;
}

TEST(Load, spec_gives_the_facts_of_the_config) {
  const ModelSpec spec = read_spec(Checkpoint::golden().config, "config.json");
  EXPECT_EQ(spec.model_type, "qwen2_5_vl");
  EXPECT_EQ(spec.vocab_size, 304);
  EXPECT_EQ(spec.hidden_size, 32);
  EXPECT_EQ(spec.num_layers, 2);
  EXPECT_EQ(spec.num_heads, 4);
  EXPECT_EQ(spec.num_kv_heads, 2);
  EXPECT_EQ(spec.head_dim, 8);
  EXPECT_EQ(spec.max_positions, 512);
  EXPECT_TRUE(spec.has_vision);
  EXPECT_EQ(spec.image_token_id, 290);
  EXPECT_EQ(spec.video_token_id, 291);
  EXPECT_EQ(spec.merge_size, 2);
  EXPECT_EQ(spec.patch_size, 4);
  EXPECT_EQ(spec.temporal_patch_size, 2);
}

TEST(Load, positions_beyond_the_models_are_warned_of_when_scored) {
  Checkpoint checkpoint = Checkpoint::golden();
  GoldenCase c = golden_case("images");
  const int64_t positions = c.input.position_ids.max().item<int64_t>() + 1;
  c.input.num_positions = positions;
  const auto log_with = [&](int64_t limit) {
    checkpoint.config["max_position_embeddings"] = limit;
    const auto model = checkpoint.load();
    const sgrpo::testing::LogCapture log;
    model->forward(c.input);
    model->forward(c.input);
    return log.text();
  };
  EXPECT_EQ(log_with(positions), "");
  const std::string warning = log_with(positions - 1);
  EXPECT_EQ(warning.find(core::str("a prompt with its completion may take ", positions)), 0u);
  EXPECT_EQ(std::count(warning.begin(), warning.end(), '\n'), 1);
}

TEST(Load, nested_config_and_nested_names_give_the_same_model) {
  const Checkpoint hub = Checkpoint::golden();
  Checkpoint nested = hub;
  core::Json text;
  for (const auto& [key, value] : hub.config.items())
    if (key != "vision_config" && key != "model_type" && key != "rope_scaling" &&
        key != "rope_theta")
      text[key] = value;
  text["rope_parameters"] = {
      {"rope_type", "default"}, {"rope_theta", 10000.0}, {"mrope_section", {2, 1, 1}}};
  nested.config = {{"model_type", "qwen2_5_vl"},
                   {"text_config", text},
                   {"vision_config", hub.config["vision_config"]},
                   {"tie_word_embeddings", true},
                   {"image_token_id", 290}};
  for (auto& [name, tensor] : nested.tensors)
    name = name.starts_with("model.") ? "model.language_model." + name.substr(6) : "model." + name;
  const GoldenCase c = golden_case("images");
  expect_bitwise_equal(nested.load()->forward(c.input), hub.load()->forward(c.input));
}

TEST(Load, an_untied_head_is_a_parameter_of_its_own) {
  Checkpoint checkpoint = Checkpoint::golden();
  checkpoint.config["tie_word_embeddings"] = false;
  EXPECT_EQ(
      load_error(checkpoint),
      "tiny/config.json: the checkpoint has no tensor 'lm_head.weight'; expected shape [304, 32]" +
          kMissingRemedy);
  checkpoint.tensors.emplace_back("lm_head.weight", random_normal({304, 32}, 1).to(at::kFloat));
  const auto model = checkpoint.load();
  EXPECT_EQ(model->parameters().size(), checkpoint.tensors.size());
  expect_bitwise_equal(model->output_weight(), checkpoint.tensor("lm_head.weight"));
}

TEST(Load, a_tied_head_that_is_written_out_is_the_embedding) {
  Checkpoint checkpoint = Checkpoint::golden();
  checkpoint.tensors.emplace_back("lm_head.weight", checkpoint.tensor("model.embed_tokens.weight"));
  const auto model = checkpoint.load();
  EXPECT_EQ(model->parameters().size(), checkpoint.tensors.size() - 1);
  expect_bitwise_equal(model->output_weight(), checkpoint.tensor("model.embed_tokens.weight"));
}

TEST(Load, a_tied_head_that_is_written_out_is_known_as_a_copy) {
  Checkpoint checkpoint = Checkpoint::golden();
  EXPECT_TRUE(checkpoint.load()->spec().copies.empty());
  checkpoint.tensors.emplace_back("lm_head.weight", checkpoint.tensor("model.embed_tokens.weight"));
  const std::map<std::string, std::string> expected = {
      {"lm_head.weight", "model.embed_tokens.weight"}};
  EXPECT_EQ(checkpoint.load()->spec().copies, expected);
}

// As transformers: the configuration is wrong, both matrices are used.
TEST(Load, a_head_that_differs_from_its_tied_embedding_is_used) {
  Checkpoint checkpoint = Checkpoint::golden();
  const at::Tensor other = checkpoint.tensor("model.embed_tokens.weight") * 2;
  checkpoint.tensors.emplace_back("lm_head.weight", other);
  const auto model = checkpoint.load();
  EXPECT_EQ(model->parameters().size(), checkpoint.tensors.size());
  expect_bitwise_equal(model->output_weight(), other);
  EXPECT_TRUE(model->spec().copies.empty());
}

TEST(Load, a_tied_pair_may_be_written_under_the_heads_name) {
  const Checkpoint golden = Checkpoint::golden();
  Checkpoint checkpoint = golden;
  for (auto& [name, tensor] : checkpoint.tensors)
    if (name == "model.embed_tokens.weight") name = "lm_head.weight";
  const GoldenCase c = golden_case("images");
  expect_bitwise_equal(checkpoint.load()->forward(c.input), golden.load()->forward(c.input));
}

TEST(Load, tables_of_rotary_frequencies_are_left_alone) {
  Checkpoint checkpoint = Checkpoint::golden();
  const size_t parameters = checkpoint.tensors.size();
  checkpoint.tensors.emplace_back("model.layers.0.self_attn.rotary_emb.inv_freq", at::ones({4}));
  checkpoint.tensors.emplace_back("visual.rotary_pos_emb.inv_freq", at::ones({4}));
  EXPECT_EQ(checkpoint.load()->parameters().size(), parameters);
}

TEST(Load, text_and_head_may_stand_under_language_model) {
  const Checkpoint golden = Checkpoint::golden();
  Checkpoint checkpoint = golden;
  checkpoint.config["tie_word_embeddings"] = false;
  const at::Tensor head = random_normal({304, 32}, 1).to(at::kFloat);
  checkpoint.tensors.emplace_back("lm_head.weight", head);
  for (auto& [name, tensor] : checkpoint.tensors)
    if (!name.starts_with("visual.")) name = "language_model." + name;
  const GoldenCase c = golden_case("images");
  const auto model = checkpoint.load();
  expect_bitwise_equal(model->forward(c.input), golden.load()->forward(c.input));
  expect_bitwise_equal(model->output_weight(), head);
}

TEST(Load, tying_may_be_said_in_text_config_alone) {
  Checkpoint checkpoint = Checkpoint::golden();
  core::Json text = checkpoint.config;
  text.erase("vision_config");
  checkpoint.config["text_config"] = text;
  checkpoint.config["tie_word_embeddings"] = false;
  EXPECT_EQ(checkpoint.load()->parameters().size(), checkpoint.tensors.size());
}

TEST(Load, placeholder_ids_of_the_published_vocabulary_are_the_default) {
  core::Json config = Checkpoint::golden().config;
  config.erase("image_token_id");
  config.erase("video_token_id");
  EXPECT_EQ(sgrpo::testing::message_of<core::UserError>([&] { read_spec(config, "c.json"); }),
            "c.json: key 'image_token_id' is missing");
  config["vocab_size"] = 151936;
  EXPECT_EQ(read_spec(config, "c.json").image_token_id, 151655);
  EXPECT_EQ(read_spec(config, "c.json").video_token_id, 151656);
}

TEST(Load, a_window_behind_the_last_layer_hides_nothing) {
  Checkpoint checkpoint = Checkpoint::golden();
  checkpoint.config["use_sliding_window"] = true;
  checkpoint.config["max_window_layers"] = 2;
  EXPECT_EQ(load_error(checkpoint), "");
  checkpoint.config["max_window_layers"] = 1;
  EXPECT_EQ(
      load_error(checkpoint),
      "tiny/config.json: layers with sliding attention (use_sliding_window, layer_types) are not "
      "supported");
  checkpoint.config["layer_types"] = {"full_attention", "full_attention"};
  EXPECT_EQ(load_error(checkpoint), "");
  checkpoint.config["use_sliding_window"] = false;
  checkpoint.config["layer_types"] = {"full_attention", "sliding_attention"};
  EXPECT_NE(load_error(checkpoint), "");
}

TEST(Load, rope_scaling_comes_before_rope_parameters_as_in_transformers) {
  Checkpoint checkpoint = Checkpoint::golden();
  checkpoint.config["rope_parameters"] = {{"rope_type", "yarn"}, {"factor", 4.0}};
  EXPECT_EQ(load_error(checkpoint), "");
  checkpoint.config.erase("rope_scaling");
  checkpoint.config["rope_parameters"] = {{"full_attention", {{"rope_type", "default"}}}};
  EXPECT_EQ(load_error(checkpoint),
            "tiny/config.json: rope_parameters has settings for each kind of layer "
            "('full_attention'), expected one for all layers");
}

TEST(Freeze, named_modules_get_no_gradient_and_the_others_the_same_one) {
  const Checkpoint checkpoint = Checkpoint::golden();
  const GoldenCase c = golden_case("images");
  const auto run = [&](const std::vector<Module>& freeze) {
    auto model = checkpoint.load(cpu_options(freeze));
    std::get<0>(scores(*model, c.input, c.prompt_length)).sum().backward();
    return model;
  };
  const auto free = run({});
  const std::vector<std::vector<Module>> choices = {{Module::kVision},
                                                    {Module::kMerger},
                                                    {Module::kVision, Module::kMerger},
                                                    {Module::kLanguage},
                                                    {Module::kVision, Module::kLanguage}};
  for (const auto& freeze : choices) {
    const auto model = run(freeze);
    for (size_t i = 0; i < model->parameters().size(); ++i) {
      const Parameter& parameter = model->parameters()[i];
      const bool is_frozen = std::count(freeze.begin(), freeze.end(), parameter.module) > 0;
      EXPECT_EQ(parameter.tensor.requires_grad(), !is_frozen) << parameter.name;
      ASSERT_EQ(parameter.tensor.grad().defined(), !is_frozen) << parameter.name;
      if (is_frozen) continue;
      // Frozen projections of one input are one product: other roundings on the way, a few of them.
      const at::Tensor& expected = free->parameters()[i].tensor.grad();
      const double tolerance = 2e-5 * expected.abs().max().item<double>();
      expect_close(parameter.tensor.grad(), expected, tolerance, parameter.name);
    }
  }
}

TEST(Freeze, modules_are_vision_merger_and_language) {
  const Checkpoint checkpoint = Checkpoint::golden();
  const auto model = checkpoint.load();
  for (const Parameter& parameter : model->parameters()) {
    const std::string expected = parameter.name.starts_with("visual.merger.") ? "merger"
                                 : parameter.name.starts_with("visual.")      ? "vision"
                                                                              : "language";
    EXPECT_EQ(core::name_of(parameter.module), expected) << parameter.name;
  }
}

TEST(LoadErrors, unknown_architectures_list_the_known_ones) {
  Checkpoint checkpoint = Checkpoint::golden();
  checkpoint.config["model_type"] = "qwen2_5_v";
  const std::string error = load_error(checkpoint);
  EXPECT_TRUE(error.starts_with("tiny/config.json: unknown architecture 'qwen2_5_v'")) << error;
  EXPECT_NE(error.find("(did you mean 'qwen2_5_vl'?)"), std::string::npos) << error;
  EXPECT_NE(error.find("; known: "), std::string::npos) << error;
}

TEST(LoadErrors, a_missing_tensor_is_named_with_its_nearest_neighbour) {
  Checkpoint checkpoint = Checkpoint::golden();
  checkpoint.remove("model.layers.1.mlp.up_proj.weight");
  checkpoint.tensors.emplace_back("model.layers.1.mlp.upproj.weight", at::zeros({40, 32}));
  EXPECT_EQ(load_error(checkpoint),
            "tiny/config.json: the checkpoint has no tensor 'model.layers.1.mlp.up_proj.weight' "
            "(did you mean 'model.layers.1.mlp.upproj.weight'?); expected shape [40, 32]" +
                kMissingRemedy);
}

TEST(Load, tensors_that_nobody_reads_are_a_remark) {
  Checkpoint checkpoint = Checkpoint::golden();
  const size_t parameters = checkpoint.tensors.size();
  EXPECT_TRUE(checkpoint.load()->spec().remarks.empty());
  checkpoint.tensors.emplace_back("model.layers.2.norm.weight", at::zeros({1}));
  checkpoint.tensors.emplace_back("score.weight", at::zeros({1}));
  const auto model = checkpoint.load();
  EXPECT_EQ(model->parameters().size(), parameters);
  EXPECT_EQ(model->spec().remarks,
            (std::vector<std::string>{
                "tiny/config.json: the checkpoint has 2 tensors that this architecture does not "
                "use, first: model.layers.2.norm.weight, score.weight; left alone, as in "
                "transformers, and saved as they are (if they should be used: is model_type or a "
                "layer count in config.json wrong?)"}));
}

// A merged QLoRA run keeps the settings of its quantised base: tensors decide.
TEST(Load, settings_of_a_quantisation_that_is_gone_are_a_remark) {
  const Checkpoint golden = Checkpoint::golden();
  const GoldenCase c = golden_case("images");
  const core::Json left_over = {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}};
  const std::string remark =
      "tiny/config.json: quantization_config is set (method: bitsandbytes), but the weights are "
      "plain numbers, so it is left over and has no effect here; transformers would quantise them "
      "again: remove it from config.json";
  for (const core::Json& settings : {core::Json(), core::Json::object(), left_over}) {
    Checkpoint checkpoint = golden;
    checkpoint.config["quantization_config"] = settings;
    const auto model = checkpoint.load();
    expect_bitwise_equal(model->forward(c.input), golden.load()->forward(c.input));
    EXPECT_EQ(model->spec().remarks,
              settings.empty() ? std::vector<std::string>{} : std::vector<std::string>{remark});
  }
}

// transformers asks `layer in fullatt_block_indexes`: a tower cut short keeps the numbers of the
// whole one, and all that remains of it is windows.
TEST(Load, full_attention_beyond_the_depth_has_no_effect) {
  Checkpoint cut = Checkpoint::golden(), windows = cut, one = cut, both = cut;
  const auto set = [](Checkpoint& checkpoint, const core::Json& blocks) {
    checkpoint.config["vision_config"]["fullatt_block_indexes"] = blocks;
  };
  set(cut, {7, 15, 23, 31});
  set(windows, core::Json::array());
  set(one, core::Json::array({1}));
  set(both, {1, 7, -1});
  const GoldenCase c = golden_case("images");
  const auto hidden = [&](const Checkpoint& checkpoint) {
    return checkpoint.load()->forward(c.input);
  };
  expect_bitwise_equal(hidden(cut), hidden(windows));
  expect_bitwise_equal(hidden(both), hidden(one));
  EXPECT_FALSE(at::equal(hidden(cut), hidden(one)));
}

// As transformers: part i of the frequencies turns by row i mod 3, however many parts there are.
TEST(Load, mrope_may_have_any_number_of_parts) {
  Checkpoint two = Checkpoint::golden(), three = two, four = two, whole = two;
  two.config["rope_scaling"]["mrope_section"] = {2, 2};
  three.config["rope_scaling"]["mrope_section"] = {2, 2, 0};
  four.config["rope_scaling"]["mrope_section"] = {1, 1, 1, 1};
  whole.config["rope_scaling"]["mrope_section"] = core::Json::array({4});
  const GoldenCase c = golden_case("images");
  const auto hidden = [&](const Checkpoint& checkpoint) {
    return checkpoint.load()->forward(c.input);
  };
  expect_bitwise_equal(hidden(two), hidden(three));
  EXPECT_FALSE(at::equal(hidden(four), hidden(three)));
  EXPECT_FALSE(at::equal(hidden(whole), hidden(three)));
}

// What save_pretrained of Qwen2_5_VLModel writes; the head is the embedding.
TEST(Load, base_class_without_a_head_is_the_model) {
  const Checkpoint golden = Checkpoint::golden();
  Checkpoint headless = golden;
  for (auto& [name, tensor] : headless.tensors)
    if (name.starts_with("model.")) name = "language_model." + name.substr(6);
  const GoldenCase c = golden_case("images");
  const auto model = headless.load(), expected = golden.load();
  expect_bitwise_equal(model->forward(c.input), expected->forward(c.input));
  expect_bitwise_equal(model->output_weight(), expected->output_weight());
  headless.config["tie_word_embeddings"] = false;
  EXPECT_EQ(
      load_error(headless),
      "tiny/config.json: the checkpoint has no tensor 'lm_head.weight'; expected shape [304, 32]" +
          kMissingRemedy);
}

TEST(LoadErrors, quantised_weights_are_known_by_their_names_and_types) {
  Checkpoint checkpoint = Checkpoint::golden();
  checkpoint.tensors.emplace_back("model.layers.0.mlp.up_proj.qweight", at::zeros({1}));
  EXPECT_EQ(load_error(checkpoint),
            "tiny/config.json: the checkpoint has tensor 'model.layers.0.mlp.up_proj.qweight', so "
            "its weights are quantised (GPTQ or AWQ); quantised checkpoints are not supported: "
            "load the float32 or bfloat16 original");
  checkpoint = Checkpoint::golden();
  at::Tensor& weight = checkpoint.tensor("model.layers.0.mlp.up_proj.weight");
  weight = weight.to(at::kChar);
  EXPECT_EQ(load_error(checkpoint),
            "tiny/config.json: tensor 'model.layers.0.mlp.up_proj.weight' holds Char, expected "
            "floating-point numbers: load the float32 or bfloat16 original of a quantised "
            "checkpoint");
}

TEST(LoadErrors, a_wrong_shape_is_found_and_expected) {
  Checkpoint checkpoint = Checkpoint::golden();
  checkpoint.tensor("visual.merger.mlp.0.bias") = at::zeros({95});
  EXPECT_EQ(load_error(checkpoint),
            "tiny/config.json: tensor 'visual.merger.mlp.0.bias' has shape [95] in the checkpoint, "
            "config.json says [96]");
}

struct BadConfig {
  const char* path;  // JSON pointer
  core::Json value;
  const char* error;
};

TEST(LoadErrors, broken_configurations_are_named_by_key) {
  const std::vector<BadConfig> cases = {
      {"/num_key_value_heads",
       3,
       "tiny/config.json: num_attention_heads is 4, expected a multiple of num_key_value_heads = "
       "3"},
      {"/head_dim", 7, "tiny/config.json: head_dim is 7, expected an even number"},
      {"/rope_scaling/mrope_section",
       {2, 1, 2},
       "tiny/config.json: mrope_section is [2, 1, 2], expected parts that add up to head_dim / 2 = "
       "4"},
      {"/rope_scaling/mrope_section",
       {-2, 5, 1},
       "tiny/config.json: mrope_section is [-2, 5, 1], expected parts that add up to head_dim / 2 "
       "= 4"},
      {"/rope_scaling",
       core::Json::array(),
       "tiny/config.json: 'rope_scaling' is an array, expected an object"},
      {"/hidden_size",
       33,
       "tiny/config.json: hidden_size is 33, expected a multiple of num_attention_heads = 4"},
      {"/num_hidden_layers", 0, "tiny/config.json: 'num_hidden_layers' is 0, expected 1..65536"},
      {"/hidden_size", 1e30, "tiny/config.json: 'hidden_size' is 1e+30, expected an integer"},
      {"/rms_norm_eps",
       -1,
       "tiny/config.json: rms_norm_eps is -1, expected at least 0 and below 1"},
      {"/rope_theta", 0, "tiny/config.json: rope_theta is 0, expected at least 1 and below 1e+15"},
      {"/rope_scaling",
       nullptr,
       "tiny/config.json: mrope_section is missing (under rope_scaling or rope_parameters)"},
      {"/rope_scaling/type",
       "yarn",
       "tiny/config.json: rope type 'yarn' is not supported, expected default or mrope"},
      {"/hidden_act", "gelu", "tiny/config.json: hidden_act is 'gelu', expected silu"},
      {"/image_token_id", 304, "tiny/config.json: 'image_token_id' is 304, expected 0..303"},
      {"/vision_config/out_hidden_size",
       31,
       "tiny/config.json: vision_config.out_hidden_size is 31, expected the text hidden_size 32"},
      {"/vision_config/num_heads",
       4,
       "tiny/config.json (vision_config): hidden_size 24 / num_heads 4 must be a multiple of 4 "
       "(rows and columns each "
       "turn half of a head)"},
      {"/vision_config/window_size",
       7,
       "tiny/config.json (vision_config): window_size is 7, expected at least patch_size * "
       "spatial_merge_size = 8"},
  };
  for (const BadConfig& bad : cases) {
    Checkpoint checkpoint = Checkpoint::golden();
    checkpoint.config[core::Json::json_pointer(bad.path)] = bad.value;
    EXPECT_EQ(load_error(checkpoint), bad.error) << bad.path;
  }
}

TEST(LoadErrors, a_section_without_a_key_is_named) {
  Checkpoint checkpoint = Checkpoint::golden();
  checkpoint.config.erase("hidden_size");
  EXPECT_EQ(load_error(checkpoint), "tiny/config.json: key 'hidden_size' is missing");
  checkpoint = Checkpoint::golden();
  checkpoint.config["vision_config"].erase("depth");
  EXPECT_EQ(load_error(checkpoint), "tiny/config.json (vision_config): key 'depth' is missing");
}

}  // namespace
}  // namespace sgrpo::model
