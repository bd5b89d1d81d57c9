// config.json and preprocessor_config.json of a Qwen2.5-VL with a few thousand parameters.
#pragma once

#include <filesystem>

#include "sgrpo/core/json.h"

namespace sgrpo::testing {

inline const std::filesystem::path kRepository =
    std::filesystem::path(SGRPO_TESTS_DIR).parent_path();

/// 14-pixel image tokens (7-pixel patches merged 2 x 2), two layers everywhere, grouped queries;
/// the vision tower has one windowed block and one with full attention.
inline core::Json tiny_config() {
  return core::parse_json(R"({
    "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl",
    "dtype": "float32", "tie_word_embeddings": true,
    "image_token_id": 5, "video_token_id": 6, "vision_start_token_id": 3, "vision_end_token_id": 4,
    "text_config": {
      "model_type": "qwen2_5_vl_text", "vocab_size": 408, "hidden_size": 32,
      "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
      "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-6,
      "max_position_embeddings": 512, "use_sliding_window": false, "tie_word_embeddings": true,
      "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0,
                          "mrope_section": [2, 1, 1]},
      "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0},
    "vision_config": {
      "model_type": "qwen2_5_vl_vision", "depth": 2, "hidden_size": 16, "intermediate_size": 24,
      "num_heads": 2, "in_channels": 3, "hidden_act": "silu", "patch_size": 7,
      "spatial_merge_size": 2, "temporal_patch_size": 2, "tokens_per_second": 2, "window_size": 28,
      "out_hidden_size": 32, "fullatt_block_indexes": [1]}})",
                          "tiny config");
}

inline core::Json tiny_preprocessor() {
  return core::parse_json(R"({
    "image_processor_type": "Qwen2VLImageProcessor", "do_convert_rgb": true, "do_resize": true,
    "resample": 3, "do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": true,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "min_pixels": 196, "max_pixels": 3136, "patch_size": 7, "temporal_patch_size": 2,
    "merge_size": 2})",
                          "tiny preprocessor");
}

}  // namespace sgrpo::testing
