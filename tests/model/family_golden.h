// Tiny checkpoints of all families but Qwen2.5-VL, and what transformers computes for them
// (tests/golden/model/make_family_goldens.py).
#pragma once

#include <string>
#include <vector>

#include "model/golden_model.h"

namespace sgrpo::model {

struct FamilyGolden {
  Checkpoint checkpoint;
  sgrpo::testing::GoldenTensors tensors;
  std::vector<std::string> cases = {"text"};

  explicit FamilyGolden(const std::string& family)
      : tensors(folder(family) + "golden.safetensors") {
    checkpoint.config =
        core::parse_json(sgrpo::testing::read_whole(folder(family) + "config.json"), "config.json");
    for (const auto& [key, tensor] : tensors.all())
      if (key.starts_with("weight/")) checkpoint.tensors.emplace_back(key.substr(7), tensor);
    if (family.ends_with("vl")) cases.insert(cases.end(), {"image", "images"});
  }

  at::Tensor at(const std::string& name, const std::string& key) const {
    return tensors.at(name + "/" + key);
  }
  PackedTokens input(const std::string& name) const {
    return {.token_ids = at(name, "token_ids"),
            .position_ids = at(name, "position_ids"),
            .pixel_values = at(name, "pixel_values"),
            .grid_thw = at(name, "grid_thw"),
            .image_rows = placeholder_rows(checkpoint.config, at(name, "token_ids")),
            .plan = one_segment(at(name, "token_ids").size(0))};
  }
  int64_t prompt_length(const std::string& name) const {
    return at(name, "prompt_length").item<int64_t>();
  }

 private:
  static std::string folder(const std::string& family) {
    return std::string(SGRPO_TESTS_DIR) + "/golden/model/" + family + "/";
  }
};

/// One changed value of config.json and what is said about it.
struct ConfigChange {
  const char* path;  // JSON pointer
  core::Json value;
  const char* error;
};

}  // namespace sgrpo::model
