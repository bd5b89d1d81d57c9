// sgrpo init: a checkpoint folder with random weights.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <iostream>

#include "sgrpo/checkpoint/init.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/rng.h"
#include "sgrpo/core/text.h"
#include "sgrpo/model/model.h"
#include "sgrpo/telemetry/telemetry.h"

namespace sgrpo::cli {
namespace {

/// The file of --spec.
struct InitSpec {
  core::Json config, preprocessor;
  std::string tokenizer;
  std::optional<std::string> chat_template;
  double init_std = 0.02;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("config", config, FieldInfo{.help = "content of config.json", .required = true});
    visit("preprocessor",
          preprocessor,
          FieldInfo{.help = "content of preprocessor_config.json; null for text models"});
    visit("tokenizer",
          tokenizer,
          FieldInfo{.help = "tokenizer.json, copied", .required = true, .is_path = true});
    visit("chat_template",
          chat_template,
          FieldInfo{.help = "template file, copied", .is_path = true});
    visit("init_std",
          init_std,
          FieldInfo{.help = "deviation of matrices; norms are 1, biases 0", .low = 0, .high = 10});
  }
};

at::ScalarType dtype_of(const core::Json& config, const std::string& where) {
  const std::string old = core::get_string_or(config, "torch_dtype", "float32", where);
  const std::string dtype = core::get_string_or(config, "dtype", old, where);
  if (dtype == "float32") return at::kFloat;
  if (dtype == "bfloat16") return at::kBFloat16;
  if (dtype == "float16") return at::kHalf;
  throw core::UserError(
      core::str(where, ": config.dtype is '", dtype, "', expected float32, bfloat16 or float16"));
}

/// Numbers that are drawn before they are cast. A multiple of the 16 that normal_ draws together:
/// only then are pieces the numbers of one large call.
constexpr int64_t kPiece = int64_t{1} << 22;

/// Normal numbers of `dtype`: those of one call of normal_ in f32, then cast.
at::Tensor normal_tensor(const std::vector<int64_t>& shape,
                         at::ScalarType dtype,
                         const core::RandomKey& key,
                         double std) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(key.bits());
  at::Tensor result = at::empty(shape, dtype);
  const at::Tensor values = result.view({-1});
  for (int64_t begin = 0; begin < values.numel();) {
    const int64_t left = values.numel() - begin;
    const int64_t count = left < 2 * kPiece ? left : kPiece;  // the last piece is never short
    values.narrow(0, begin, count).copy_(at::empty({count}).normal_(0.0, std, generator));
    begin += count;
  }
  return result;
}

/// Biases 0, norms (vectors) 1, everything else normal: a function of seed and position alone.
at::Tensor random_tensor(const checkpoint::LazyTensor& tensor,
                         const core::RandomKey& key,
                         double std) {
  if (core::ends_with(tensor.name, "bias")) return at::zeros(tensor.shape, tensor.dtype);
  if (tensor.shape.size() == 1) return at::ones(tensor.shape, tensor.dtype);
  return normal_tensor(tensor.shape, tensor.dtype, key, std);
}

constexpr int64_t kManyParameters = 100'000'000;  // parameters that take a while

struct Init {
  static constexpr const char* kSummary = "a checkpoint folder with random weights";
  static constexpr bool kTakesConfig = false;

  std::string spec, output;
  int64_t seed = 0;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("spec",
          spec,
          FieldInfo{.help = "config, preprocessor, tokenizer, chat_template, init_std",
                    .unit = "S.yaml",
                    .required = true,
                    .is_path = true});
    visit("output",
          output,
          FieldInfo{
              .help = "a new or empty folder", .unit = "DIR", .required = true, .is_path = true});
    visit("seed", seed, FieldInfo{.help = "of the weights", .low = 0, .high = 9e15});
  }

  int run(const Invocation& invocation) {
    InitSpec parsed;
    config::bind(config::load_yaml(spec), parsed);
    config::require(parsed, {"config", "tokenizer"});
    const std::string where = spec + " (config)";
    const at::ScalarType dtype = dtype_of(parsed.config, where);
    checkpoint::NewModel model;
    model.config = parsed.config;
    model.preprocessor = parsed.preprocessor;
    model.tokenizer = parsed.tokenizer;
    if (parsed.chat_template) model.chat_template = *parsed.chat_template;
    core::RandomKey key{.seed = static_cast<uint64_t>(seed), .purpose = core::Purpose::kInit};
    int64_t parameters = 0;
    std::optional<telemetry::Progress> progress;
    for (const model::Weight& weight : model::read_layout(parsed.config, where)) {
      checkpoint::LazyTensor tensor{
          .name = weight.name, .dtype = dtype, .shape = weight.shape, .make = {}};
      parameters += weight.size();
      tensor.make = [tensor, key, std = parsed.init_std, &progress] {
        if (core::stop_requested()) {
          throw core::Interrupted(
              "stopped by a signal while weights are made: nothing was written");
        }
        if (progress) progress->advance();
        return random_tensor(tensor, key, std);
      };
      model.tensors.push_back(std::move(tensor));
      ++key.prompt_index;
    }
    if (parameters >= kManyParameters)
      progress.emplace("init, tensors", static_cast<int64_t>(model.tensors.size()));
    checkpoint::write_new_model_folder(output, model);
    if (invocation.json) {
      std::cout << core::dump_ascii({{"output", output}, {"parameters", parameters}}) << "\n";
    } else {
      std::cout << parameters << " parameters in " << model.tensors.size() << " tensors -> "
                << output << "\n";
    }
    return 0;
  }
};

SGRPO_REGISTER_COMMAND("init", Init);

}  // namespace
}  // namespace sgrpo::cli
