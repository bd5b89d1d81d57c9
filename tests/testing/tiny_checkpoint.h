// A Qwen2.5-VL of a few thousand parameters, made at test time by the program's own pieces. Its
// weights are wide, so that distributions are far from uniform and completions differ.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <filesystem>
#include <string>

#include "sgrpo/checkpoint/init.h"
#include "sgrpo/core/text.h"
#include "sgrpo/model/model.h"
#include "testing/tiny_config.h"

namespace sgrpo::testing {

/// What a tiny checkpoint is made of; tests change what they are about.
struct TinyCheckpoint {
  core::Json config = tiny_config();
  core::Json preprocessor = tiny_preprocessor();
  double std = 0.3;
  uint64_t seed = 7;
  at::ScalarType dtype = at::kFloat;
};

/// Every tensor of a new checkpoint: biases small, norms 1, matrices normal with deviation `std`.
inline std::vector<std::pair<std::string, at::Tensor>> tiny_tensors(const TinyCheckpoint& tiny) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(tiny.seed);
  for (const model::Weight& weight : model::read_layout(tiny.config, "tiny config")) {
    const auto& shape = weight.shape;
    const bool is_norm = shape.size() == 1 && !core::ends_with(weight.name, "bias");
    const at::Tensor tensor =
        is_norm ? at::ones(shape) : at::empty(shape).normal_(0.0, tiny.std, generator);
    tensors.emplace_back(weight.name, tensor.to(tiny.dtype));
  }
  return tensors;
}

/// Writes the folder. The tokenizer has 400 ids, the model 408 rows: as in the published models.
inline void write_tiny_checkpoint(const std::filesystem::path& folder,
                                  const TinyCheckpoint& tiny = {}) {
  checkpoint::NewModel model;
  model.config = tiny.config;
  model.preprocessor = tiny.preprocessor;
  model.tokenizer = kRepository / "configs" / "study" / "tokenizer.json";
  model.chat_template = kRepository / "configs" / "study" / "chat_template.jinja";
  for (const auto& [name, tensor] : tiny_tensors(tiny))
    model.tensors.push_back(checkpoint::as_lazy(name, tensor));
  checkpoint::write_new_model_folder(folder, model);
}

}  // namespace sgrpo::testing
