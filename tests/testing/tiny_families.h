// A tiny checkpoint of every model family; sizes that are no multiple of a vector register.
#pragma once

#include <string>
#include <vector>

#include "testing/tiny_checkpoint.h"

namespace sgrpo::testing {

/// A decoder with two layers and heads of 8.
inline core::Json tiny_text_config(const std::string& model_type) {
  core::Json text = tiny_config()["text_config"];
  text["model_type"] = model_type;
  text["head_dim"] = 8;
  return text;
}

inline core::Json tiny_qwen2_vl() {
  core::Json config = tiny_config();
  config["architectures"] = {"Qwen2VLForConditionalGeneration"};
  config["model_type"] = "qwen2_vl";
  config["text_config"] = tiny_text_config("qwen2_vl_text");
  config["vision_config"] = core::parse_json(R"({
      "model_type": "qwen2_vl_vision", "depth": 2, "embed_dim": 24, "hidden_size": 32,
      "mlp_ratio": 2, "num_heads": 2, "in_channels": 3, "hidden_act": "quick_gelu",
      "patch_size": 7, "spatial_merge_size": 2, "temporal_patch_size": 2})",
                                             "qwen2_vl");
  return config;
}

inline core::Json tiny_qwen3_vl() {
  core::Json config = tiny_config();
  config["architectures"] = {"Qwen3VLForConditionalGeneration"};
  config["model_type"] = "qwen3_vl";
  config["text_config"] = tiny_text_config("qwen3_vl_text");
  config["text_config"]["rope_parameters"]["mrope_interleaved"] = true;
  // Features of two depths enter after layers 0 and 1: a third layer must read them.
  config["text_config"]["num_hidden_layers"] = 3;
  config["vision_config"] = core::parse_json(R"({
      "model_type": "qwen3_vl_vision", "depth": 3, "hidden_size": 24, "intermediate_size": 40,
      "num_heads": 2, "in_channels": 3, "hidden_act": "gelu_pytorch_tanh", "patch_size": 7,
      "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 16,
      "out_hidden_size": 32, "deepstack_visual_indexes": [0, 1]})",
                                             "qwen3_vl");
  return config;
}

/// A text-only model: the decoder's configuration is the whole one.
inline core::Json tiny_text_model(const std::string& model_type, const std::string& architecture) {
  core::Json config = tiny_text_config(model_type);
  config["architectures"] = {architecture};
  config["dtype"] = "float32";
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 1000000.0}};
  return config;
}

/// Every family by its model_type.
inline std::vector<TinyCheckpoint> tiny_families() {
  std::vector<TinyCheckpoint> families(1);
  for (const core::Json& config : {tiny_qwen2_vl(),
                                   tiny_qwen3_vl(),
                                   tiny_text_model("qwen2", "Qwen2ForCausalLM"),
                                   tiny_text_model("qwen3", "Qwen3ForCausalLM"),
                                   tiny_text_model("llama", "LlamaForCausalLM")}) {
    TinyCheckpoint tiny;
    tiny.config = config;
    if (!config.contains("vision_config")) tiny.preprocessor = nullptr;
    families.push_back(tiny);
  }
  return families;
}

inline std::string family_name(const TinyCheckpoint& tiny) {
  return tiny.config.at("model_type").get<std::string>();
}

}  // namespace sgrpo::testing
