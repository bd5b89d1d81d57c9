// Checkpoints that are damaged, incomplete or of another kind, through the program: exit code 2,
// one line that names the file, what was found and what was expected, and nothing written.
#include <ATen/ATen.h>

#include "cli/program.h"
#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/policy/policy.h"

namespace sgrpo::cli {
namespace {

namespace fs = std::filesystem;
using core::Json;
using Named = std::vector<std::pair<std::string, at::Tensor>>;

/// A tiny checkpoint in a folder `model`, to be damaged.
class BadCheckpoint : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = new testing::Scratch;
    testing::write_tiny_checkpoint(*shared_ / "model");
  }
  static void TearDownTestSuite() { delete shared_; }

  void SetUp() override { restore(); }

  fs::path folder() const { return scratch_ / "model"; }
  void restore() const {
    fs::remove_all(folder());
    fs::copy(*shared_ / "model", folder(), fs::copy_options::recursive);
  }
  void write(const std::string& file, const std::string& bytes) const {
    core::write_file_atomic(folder() / file, bytes);
  }
  void edit(const std::string& file, const std::function<void(Json&)>& change) const {
    Json json = core::parse_json(core::read_file(folder() / file), file);
    change(json);
    write(file, json.dump());
  }
  void edit_weights(const std::function<void(Named&)>& change) const {
    Named tensors = testing::tiny_tensors({});
    change(tensors);
    checkpoint::write_safetensors(folder() / "model.safetensors", tensors, {{"format", "pt"}});
  }
  /// Two shards and an index of them.
  void write_shards() const {
    const Named all = testing::tiny_tensors({});
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
    Json map = Json::object();
    for (auto tensor = all.begin(); tensor != all.end(); ++tensor)
      map[tensor->first] = tensor < middle ? kFirst : kSecond;
    checkpoint::write_safetensors(folder() / kFirst, {all.begin(), middle});
    checkpoint::write_safetensors(folder() / kSecond, {middle, all.end()});
    write(kIndex, Json{{"metadata", {{"total_size", 1}}}, {"weight_map", map}}.dump());
    fs::remove(folder() / "model.safetensors");
  }

  /// Runs `logprobs` on the damaged folder, expects `message`, and restores the folder.
  void expect_refusal(const std::string& message) const {
    scratch_.write("in.jsonl",
                   R"({"id": "a", "prompt": "what", "completion": "bag"})"
                   "\n");
    const Outcome outcome = run({"logprobs",
                                 "--model",
                                 folder().string(),
                                 "--input",
                                 (scratch_ / "in.jsonl").string(),
                                 "--output",
                                 (scratch_ / "out.jsonl").string()});
    EXPECT_EQ(outcome.code, 2) << message;
    EXPECT_EQ(scratch_.shorten(outcome.last_error_line()), "sgrpo: error: " + message);
    EXPECT_FALSE(fs::exists(scratch_ / "out.jsonl")) << message;
    fs::remove(scratch_ / "out.jsonl");
    restore();
  }

  static constexpr const char* kFirst = "model-00001-of-00002.safetensors";
  static constexpr const char* kSecond = "model-00002-of-00002.safetensors";
  static constexpr const char* kIndex = "model.safetensors.index.json";
  static testing::Scratch* shared_;
  testing::Scratch scratch_;
};
testing::Scratch* BadCheckpoint::shared_ = nullptr;

at::Tensor& tensor_of(Named& tensors, const std::string& name) {
  for (auto& [other, tensor] : tensors)
    if (other == name) return tensor;
  throw std::out_of_range(name);
}

const std::string kMissingRemedy =
    "; is a shard missing, or model_type, a layer count or tie_word_embeddings in config.json "
    "wrong?";
const std::string kQuantised =
    "quantised checkpoints are not supported: load the float32 or bfloat16 original";

TEST_F(BadCheckpoint, configuration_is_refused_by_key) {
  struct Case {
    const char* path;
    Json value;
    std::string error;  // behind "model/config.json"
  };
  const std::vector<Case> cases = {
      {"/model_type",
       "qwen2_5_lv",
       ": unknown architecture 'qwen2_5_lv' (did you mean 'qwen2_5_vl'?)"},
      {"/model_type", 5, ": 'model_type' is an integer, expected a string"},
      {"/text_config",
       7,
       " (text_config): expected an object with key 'vocab_size', got an integer"},
      {"/text_config/num_hidden_layers",
       0,
       " (text_config): 'num_hidden_layers' is 0, expected 1..65536"},
      {"/text_config/num_hidden_layers",
       -2,
       " (text_config): 'num_hidden_layers' is -2, expected 1..65536"},
      {"/text_config/num_hidden_layers",
       3,
       ": the checkpoint has no tensor 'model.layers.2.input_layernorm.weight'; expected shape "
       "[32]" +
           kMissingRemedy},
      {"/text_config/hidden_size",
       1e30,
       " (text_config): 'hidden_size' is 1e+30, expected an integer"},
      {"/text_config/hidden_size",
       "32",
       " (text_config): 'hidden_size' is a string, expected an integer"},
      {"/text_config/hidden_size",
       nullptr,
       " (text_config): 'hidden_size' is null, expected an integer"},
      {"/text_config/num_attention_heads",
       3,
       " (text_config): hidden_size is 32, expected a multiple of num_attention_heads = 3"},
      {"/text_config/num_attention_heads",
       8,
       " (text_config): mrope_section is [2, 1, 1], expected parts that add up to head_dim / 2 = "
       "2"},
      {"/text_config/num_key_value_heads",
       3,
       " (text_config): num_attention_heads is 4, expected a multiple of num_key_value_heads = 3"},
      {"/text_config/num_key_value_heads",
       4,
       ": tensor 'model.layers.0.self_attn.k_proj.weight' has shape [16, 32] in the checkpoint, "
       "config.json says [32, 32]"},
      {"/text_config/rope_parameters/mrope_section",
       {-2, 5, 1},
       " (text_config): mrope_section is [-2, 5, 1], expected parts that add up to head_dim / 2 = "
       "4"},
      {"/text_config/rms_norm_eps",
       -1,
       " (text_config): rms_norm_eps is -1, expected at least 0 and below 1"},
      {"/text_config/vocab_size",
       399,
       ": the tokenizer has 400 ids, but vocab_size is 399: tokenizer and weights do not belong "
       "together"},
      {"/image_token_id", 408, ": 'image_token_id' is 408, expected 0..407"},
      {"/image_token_id",
       17,
       ": image_token_id is 17, but the tokenizer's <|image_pad|> is 5: tokenizer and weights do "
       "not "
       "belong together"},
      {"/vision_config", 5, ": 'vision_config' is an integer, expected an object"},
      {"/vision_config/depth", 0, " (vision_config): 'depth' is 0, expected 1.."},
      {"/vision_config/num_heads",
       3,
       " (vision_config): hidden_size 16 / num_heads 3 must be a multiple of 4"},
      {"/tie_word_embeddings",
       "yes",
       ": 'tie_word_embeddings' is a string, expected true or false"},
  };
  for (const Case& bad : cases) {
    edit("config.json", [&](Json& config) { config[Json::json_pointer(bad.path)] = bad.value; });
    SCOPED_TRACE(bad.path);
    const std::string error =
        testing::message_of<core::UserError>([&] { policy::open(folder(), {}, {}); });
    EXPECT_EQ(scratch_.shorten(error).substr(0, 17 + bad.error.size()),
              "model/config.json" + bad.error);
    restore();
  }
}

TEST_F(BadCheckpoint, configuration_that_is_no_object_is_refused) {
  write("config.json", "{\"model_type\": ");
  expect_refusal(
      "model/config.json: not valid JSON: parse error at line 1, column 16: syntax error while "
      "parsing value - unexpected end of input; expected '[', '{', or a literal");
  write("config.json", "[]");
  expect_refusal("model/config.json: expected an object with key 'model_type', got an array");
  edit("config.json", [](Json& config) { config.erase("model_type"); });
  expect_refusal("model/config.json: key 'model_type' is missing");
}

TEST_F(BadCheckpoint, weights_that_cannot_be_read_are_refused) {
  const std::string bytes = core::read_file(folder() / "model.safetensors");
  write("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n");
  expect_refusal(
      "model/model.safetensors: a Git LFS pointer, not the weights: run `git lfs pull` in the "
      "folder, or download the file itself");
  write("model.safetensors", "<!doctype html><html></html>");
  expect_refusal(
      "model/model.safetensors: not a safetensors file: it begins with '<!doctype html>', as a web "
      "page does; download the file again");
  write("model.safetensors", "");
  expect_refusal("model/model.safetensors: not a safetensors file: 0 bytes, expected at least 8");
  write("model.safetensors", bytes.substr(0, 100));
  const std::string header = std::to_string(static_cast<unsigned char>(bytes[0]) +
                                            256 * static_cast<unsigned char>(bytes[1]));
  expect_refusal("model/model.safetensors: truncated: the header has " + header +
                 " bytes, but only 92 follow; copy or download the file again");
  write("model.safetensors", bytes + "1234");
  const std::string data = std::to_string(bytes.size() - 8 - std::stoul(header));
  expect_refusal("model/model.safetensors: tensors cover " + data + " bytes, but the file holds " +
                 std::to_string(std::stoul(data) + 4) + " of data");
  fs::rename(folder() / "model.safetensors", folder() / "pytorch_model.bin");
  expect_refusal(
      "model has weights only as pytorch_model.bin, which is not read (expected *.safetensors; "
      "pickles can run code); convert it once in Python: "
      "AutoModelForImageTextToText.from_pretrained(DIR).save_pretrained(NEW_DIR), or "
      "AutoModelForCausalLM for a text model");
  fs::remove(folder() / "model.safetensors");
  expect_refusal(
      "model is not a checkpoint: config.json is there, but neither model.safetensors nor "
      "model.safetensors.index.json nor any other *.safetensors");
}

TEST_F(BadCheckpoint, shards_and_index_that_disagree_are_refused) {
  write_shards();
  fs::remove(folder() / kSecond);
  expect_refusal(
      "model/model.safetensors.index.json needs shard model-00002-of-00002.safetensors, which is "
      "missing; copy or download it again");
  write_shards();
  edit(kIndex, [](Json& index) { index["weight_map"]["model.none"] = kFirst; });
  expect_refusal(
      "model/model.safetensors.index.json places tensor 'model.none' in "
      "model-00001-of-00002.safetensors, which does not contain it");
  write_shards();
  edit(kIndex, [](Json& index) { index["weight_map"]["model.none"] = "../x.safetensors"; });
  expect_refusal(
      "model/model.safetensors.index.json: tensor 'model.none' is mapped to \"../x.safetensors\", "
      "expected the name of a file in the same folder");
  write_shards();
  write(kIndex, "{}");
  expect_refusal("model/model.safetensors.index.json: key 'weight_map' is missing");
  write_shards();
  fs::copy_file(folder() / kFirst, folder() / "copy.safetensors");
  fs::remove(folder() / kIndex);
  const Outcome outcome =
      run({"export", "--checkpoint", folder().string(), "--output", (scratch_ / "out").string()});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.last_error_line().find("' is in two files: "), std::string::npos)
      << outcome.err;
  EXPECT_FALSE(fs::exists(scratch_ / "out"));
}

TEST_F(BadCheckpoint, tensors_that_do_not_fit_are_refused) {
  edit_weights([](Named& tensors) {
    std::erase_if(tensors, [](const auto& item) {
      return item.first == "model.layers.1.mlp.up_proj.weight";
    });
  });
  expect_refusal(
      "model/config.json: the checkpoint has no tensor 'model.layers.1.mlp.up_proj.weight' (did "
      "you "
      "mean 'model.layers.1.mlp.down_proj.weight'?); expected shape [48, 32]" +
      kMissingRemedy);
  edit_weights([](Named& tensors) {
    at::Tensor& weight = tensor_of(tensors, "model.layers.0.mlp.up_proj.weight");
    weight = weight.t().contiguous();
  });
  expect_refusal(
      "model/config.json: tensor 'model.layers.0.mlp.up_proj.weight' has shape [32, 48] in the "
      "checkpoint, config.json says [48, 32]");
  edit_weights([](Named& tensors) {
    at::Tensor& weight = tensor_of(tensors, "model.norm.weight");
    weight = weight.to(at::kLong);
  });
  expect_refusal(
      "model/config.json: tensor 'model.norm.weight' holds Long, expected floating-point numbers: "
      "load the float32 or bfloat16 original of a quantised checkpoint");
  edit_weights([](Named& tensors) { tensors.emplace_back("lm_head.weight", at::zeros({3, 3})); });
  expect_refusal(
      "model/config.json: tensor 'lm_head.weight' has shape [3, 3] in the checkpoint, config.json "
      "says [408, 32]");
}

TEST_F(BadCheckpoint, quantised_weights_are_known_without_a_configuration) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"model.layers.0.self_attn.q_proj.qweight", "GPTQ or AWQ"},
      {"model.layers.0.self_attn.q_proj.weight_packed", "compressed-tensors"},
      {"model.layers.0.self_attn.q_proj.weight_scale_inv", "FP8"},
      {"model.layers.0.self_attn.q_proj.SCB", "bitsandbytes, 8 bits"},
      {"model.layers.0.self_attn.q_proj.weight.absmax", "bitsandbytes, 4 bits"}};
  for (const auto& [name, method] : cases) {
    edit_weights([&](Named& tensors) { tensors.emplace_back(name, at::zeros({4})); });
    expect_refusal("model/config.json: the checkpoint has tensor '" + name +
                   "', so its weights are quantised (" + method + "); " + kQuantised);
  }
}

TEST_F(BadCheckpoint, processor_that_contradicts_the_vision_config_is_refused) {
  edit("preprocessor_config.json", [](Json& json) { json["patch_size"] = 14; });
  expect_refusal(
      "model/preprocessor_config.json: patch_size is 14, but vision_config in model/config.json "
      "says "
      "7");
  edit("preprocessor_config.json", [](Json& json) { json["merge_size"] = 1; });
  expect_refusal(
      "model/preprocessor_config.json: merge_size is 1, but vision_config in model/config.json "
      "says "
      "2");
  write("processor_config.json", R"({"image_processor": {"patch_size": 16}})");
  expect_refusal(
      "model/processor_config.json: image_processor: patch_size is 16, but vision_config in "
      "model/config.json says 7");
  fs::remove(folder() / "preprocessor_config.json");
  expect_refusal(
      "model: no preprocessor_config.json or processor_config.json, which qwen2_5_vl needs to read "
      "images");
}

TEST_F(BadCheckpoint, tokenizer_that_is_missing_or_another_models_is_refused) {
  fs::remove(folder() / "tokenizer.json");
  expect_refusal(
      "model: no tokenizer, expected tokenizer.json, vocab.json and merges.txt, or "
      "tokenizer.model");
  write("tokenizer.json", core::read_file(folder() / "tokenizer.json").substr(0, 1000));
  expect_refusal("model/tokenizer.json: not valid JSON (byte 1001), expected a tokenizer file");
  edit("tokenizer.json", [](Json& json) {
    for (int64_t id = 400; id < 420; ++id) {
      json["added_tokens"].push_back(
          {{"id", id}, {"content", "<extra" + std::to_string(id) + ">"}, {"special", true}});
    }
  });
  expect_refusal(
      "model/config.json: the tokenizer has 420 ids, but vocab_size is 408: tokenizer and weights "
      "do "
      "not belong together");
  const auto rename = [&](const std::string& from, const std::string& to) {
    for (const char* file : {"tokenizer.json", "tokenizer_config.json"}) {
      std::string text = core::read_file(folder() / file);
      for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
      write(file, text);
    }
  };
  rename("<|image_pad|>", "<|other_pad|>");
  expect_refusal(
      "model/config.json: image_token_id is 5, but the tokenizer has no <|image_pad|>: tokenizer "
      "and "
      "weights do not belong together");
  rename("<|im_end|>", "<|other_end|>");
  expect_refusal("model: the tokenizer has no <|im_end|> token, which ends a turn of ChatML");
}

TEST_F(BadCheckpoint, templates_of_other_families_are_refused_by_name) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}<|eot_id|>",
       "Llama 3's"},
      {"[INST] {{ m.content }} [/INST]", "Mistral's or Llama 2's"},
      {"<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n", "Gemma's"}};
  for (const auto& [turn, kind] : cases) {
    write("chat_template.jinja", "{% for m in messages %}" + turn + "{% endfor %}");
    expect_refusal(
        "model/chat_template.jinja: the chat template is not ChatML: it has no "
        "'<|im_start|>'; it looks like " +
        kind + "; expected turns of <|im_start|>role .. <|im_end|>, as Qwen's");
  }
  fs::remove(folder() / "chat_template.jinja");
  write("chat_template.json", "[1]");
  expect_refusal("model/chat_template.json: expected an object with key 'chat_template'");
}

TEST_F(BadCheckpoint, end_ids_that_are_no_ids_are_refused) {
  const auto set = [&](const Json& ids) {
    edit("generation_config.json", [&](Json& json) { json["eos_token_id"] = ids; });
  };
  set(408);
  expect_refusal(
      "model: eos_token_id (generation_config.json, else config.json) has 408, expected ids of the "
      "embedding's rows, 0..407");
  set({2, -1});
  expect_refusal(
      "model: eos_token_id (generation_config.json, else config.json) has -1, expected ids of the "
      "embedding's rows, 0..407");
  set("<|im_end|>");
  expect_refusal("model/generation_config.json: 'eos_token_id' is a string, expected an integer");
  write("generation_config.json", "[]");
  expect_refusal("model/generation_config.json: not an object of settings");
}

TEST_F(BadCheckpoint, unusual_but_sound_folders_are_read_with_a_warning) {
  const auto log_of = [&] {
    const testing::LogCapture log;
    policy::open(folder(), {}, {});
    const std::string text = scratch_.shorten(log.text());
    restore();
    return text;
  };
  edit("config.json", [](Json& config) { config["text_config"]["vocab_size"] = 1000; });
  edit_weights([](Named& tensors) {
    tensor_of(tensors, "model.embed_tokens.weight") = at::zeros({1000, 32});
  });
  EXPECT_NE(log_of().find("model/config.json: vocab_size is 1000, but the tokenizer has only 400 "
                          "ids; the other rows are never sampled. Is it this model's tokenizer?"),
            std::string::npos);
  edit_weights([](Named& tensors) { tensors.emplace_back("lm_head.weight", at::ones({408, 32})); });
  EXPECT_NE(log_of().find("config.json ties the output layer to the embedding "
                          "(tie_word_embeddings), but lm_head.weight differs from "
                          "model.embed_tokens.weight: both are used, as transformers does"),
            std::string::npos);
  edit_weights([](Named& tensors) { tensors.emplace_back("score.weight", at::zeros({1})); });
  EXPECT_NE(log_of().find("model/config.json: the checkpoint has 1 tensor that this architecture "
                          "does not use: score.weight; left alone, as in transformers"),
            std::string::npos);
  edit("config.json", [](Json& config) {
    config["quantization_config"] = {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}};
  });
  EXPECT_NE(log_of().find("model/config.json: quantization_config is set (method: bitsandbytes), "
                          "but the weights are plain numbers"),
            std::string::npos);
  fs::remove(folder() / "chat_template.jinja");
  EXPECT_NE(
      log_of().find("model has no chat template: prompts are written as plain ChatML, without "
                    "a default system turn"),
      std::string::npos);
  edit_weights([](Named& tensors) {
    tensors.emplace_back("model.layers.0.self_attn.rotary_emb.inv_freq", at::ones({4}));
  });
  fs::remove(folder() / "generation_config.json");
  fs::remove(folder() / "tokenizer_config.json");
  EXPECT_EQ(log_of(), "opened model\ncomputing on cpu in float32\n");
}

}  // namespace
}  // namespace sgrpo::cli
