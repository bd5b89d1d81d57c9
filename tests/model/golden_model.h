// The golden checkpoint in memory, where a test may change it, and its cases as packed tokens.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sgrpo/core/error.h"
#include "sgrpo/model/model.h"
#include "sgrpo/ops/ops.h"
#include "testing/safetensors_reader.h"

namespace sgrpo::model {

inline std::string golden_folder() {
  return std::string(SGRPO_TESTS_DIR) + "/golden/model/qwen2_5_vl/";
}

inline ModelOptions cpu_options(const std::vector<Module>& freeze = {}) {
  ModelOptions options;
  options.freeze = freeze;
  return options;
}

/// A checkpoint in memory.
struct Checkpoint {
  core::Json config;
  std::vector<std::pair<std::string, at::Tensor>> tensors;

  static Checkpoint golden() {
    return {core::parse_json(sgrpo::testing::read_whole(golden_folder() + "config.json"),
                             "config.json"),
            sgrpo::testing::GoldenTensors(golden_folder() + "model.safetensors").all()};
  }

  at::Tensor& tensor(const std::string& name) {
    return std::find_if(tensors.begin(),
                        tensors.end(),
                        [&](const auto& entry) { return entry.first == name; })
        ->second;
  }
  void remove(const std::string& name) {
    std::erase_if(tensors, [&](const auto& entry) { return entry.first == name; });
  }

  /// A source that reads from this object, which must outlive it; counts reads in `reads`.
  ModelSource source(std::vector<std::string>* reads = nullptr) const {
    ModelSource result{.config = config, .where = "tiny/config.json", .names = {}, .read = {}};
    for (const auto& [name, tensor] : tensors) result.names.push_back(name);
    result.read = [this, reads](const std::string& name) {
      if (reads != nullptr) reads->push_back(name);
      return std::find_if(tensors.begin(),
                          tensors.end(),
                          [&](const auto& entry) { return entry.first == name; })
          ->second.clone();
    };
    return result;
  }

  std::unique_ptr<Model> load(const ModelOptions& options = cpu_options(),
                              at::ScalarType dtype = at::kFloat) const {
    ModelSource read = source();
    read.placement.dtype = dtype;
    return load_model(read, options);
  }
};

/// What is unusual about a checkpoint that loads; empty if nothing is.
inline std::string remarks_of(const Checkpoint& checkpoint) {
  const auto model = checkpoint.load();
  std::string text;
  for (const std::string& remark : model->spec().remarks) text += remark;
  return text;
}

/// What loading says; empty if it succeeds.
inline std::string load_error(const Checkpoint& checkpoint) {
  try {
    checkpoint.load();
  } catch (const core::UserError& error) {
    return error.what();
  }
  return "";
}

/// One golden case.
struct GoldenCase {
  PackedTokens input;  // one causal segment
  int64_t prompt_length = 0;
  at::Tensor hidden, features, window_order, window_ends, logprobs, entropy;

  at::Tensor labels() const { return input.token_ids.slice(0, prompt_length); }
};

/// One causal sequence.
inline ops::AttentionPlan one_segment(int64_t tokens) {
  return ops::AttentionPlan::of_lengths({tokens}, /*causal=*/true);
}

/// Row 0 sees the prompt's slots [0, prompt_end) and its own [begin, end).
inline ops::AttentionPlan step_plan(int64_t prompt_end, int64_t begin, int64_t end) {
  return ops::AttentionPlan::make({{0, 1, 0, prompt_end, begin, end}}, {1, end}, /*causal=*/true);
}

/// The placeholders among `token_ids`; none for a text model.
inline at::Tensor placeholder_rows(const core::Json& config, const at::Tensor& token_ids) {
  const auto id = core::get_int_or(config, "image_token_id", -1, "config.json", -1, 1'000'000);
  return at::nonzero(token_ids == id).squeeze(1);
}

inline GoldenCase golden_case(const std::string& name) {
  static const sgrpo::testing::GoldenTensors golden(golden_folder() + "expected.safetensors");
  static const core::Json config = Checkpoint::golden().config;
  const auto get = [&](const char* key) { return golden.at(name + "/" + key); };
  GoldenCase result;
  result.input = {.token_ids = get("token_ids"),
                  .position_ids = get("position_ids"),
                  .pixel_values = get("pixel_values"),
                  .grid_thw = get("grid_thw"),
                  .image_rows = placeholder_rows(config, get("token_ids")),
                  .plan = one_segment(get("token_ids").size(0))};
  result.prompt_length = get("prompt_length").item<int64_t>();
  result.hidden = get("hidden");
  result.logprobs = get("logprobs");
  result.entropy = get("entropy");
  if (name != "text") {
    result.features = get("features");
    result.window_order = get("window_order");
    result.window_ends = get("window_ends");
  }
  return result;
}

/// Log-probabilities and entropies of the tokens from `begin` on.
inline std::tuple<at::Tensor, at::Tensor> scores(const Model& model,
                                                 const PackedTokens& input,
                                                 int64_t begin) {
  const at::Tensor hidden = model.forward(input).slice(0, begin - 1, -1);
  return ops::linear_logprob(hidden,
                             model.output_weight(),
                             input.token_ids.slice(0, begin),
                             at::empty({0}, at::kLong),
                             1.0);
}

/// Gradients by parameter name; undefined for parameters that do not train.
inline std::vector<std::pair<std::string, at::Tensor>> gradients(const Model& model) {
  std::vector<std::pair<std::string, at::Tensor>> result;
  for (const Parameter& parameter : model.parameters())
    result.emplace_back(parameter.name, parameter.tensor.grad());
  return result;
}

}  // namespace sgrpo::model
