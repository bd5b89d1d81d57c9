// LoRA against PEFT: the same numbers, names and files.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "model/family_golden.h"
#include "sgrpo/config/config.h"
#include "sgrpo/model/lora.h"
#include "testing/expect_close.h"
#include "testing/scratch.h"

namespace sgrpo::model {
namespace {

using sgrpo::testing::expect_close;
using sgrpo::testing::expect_close_in_norm;
using sgrpo::testing::GoldenTensors;
using sgrpo::testing::message_of;

/// An adapter as PEFT saved it, its base, and what PEFT computes.
struct LoraGolden {
  explicit LoraGolden(const std::string& name, const std::string& family)
      : folder(std::string(SGRPO_TESTS_DIR) + "/golden/model/lora/" + name + "/"),
        config(core::parse_json(sgrpo::testing::read_whole(folder + "adapter_config.json"), name)),
        adapter(folder + "adapter_model.safetensors"),
        expected(folder + "expected.safetensors") {
    if (family == "qwen2_5_vl") {
      checkpoint = Checkpoint::golden();
      const GoldenCase last = golden_case("images");
      input = last.input;
      prompt_length = last.prompt_length;
    } else {
      const FamilyGolden golden(family);
      checkpoint = golden.checkpoint;
      input = golden.input(golden.cases.back());
      prompt_length = golden.prompt_length(golden.cases.back());
    }
  }

  ModelSource source() const {
    ModelSource result = checkpoint.source();
    result.adapter =
        AdapterSource{.where = "adapter",
                      .rank = config.at("r").get<int64_t>(),
                      .alpha = config.at("lora_alpha").get<double>(),
                      .is_rank_stabilized = config.at("use_rslora").get<bool>(),
                      .names = {},
                      .read = [this](const std::string& name) { return adapter.at(name); }};
    for (const auto& [name, tensor] : adapter.all()) result.adapter->names.push_back(name);
    return result;
  }

  std::string folder;
  core::Json config;
  GoldenTensors adapter, expected;
  Checkpoint checkpoint;
  PackedTokens input;
  int64_t prompt_length = 0;
};

ModelOptions with_lora(const core::Json& lora, const std::vector<Module>& freeze = {}) {
  ModelOptions options = cpu_options(freeze);
  options.lora = lora;
  return options;
}

std::set<std::string> names_of(const std::vector<Parameter>& parameters) {
  std::set<std::string> names;
  for (const Parameter& parameter : parameters) names.insert(parameter.name);
  return names;
}

struct LoraCase {
  const char* name;
  const char* family;
  core::Json targets;
};

class LoraOfPeft : public ::testing::TestWithParam<LoraCase> {
 protected:
  const LoraGolden golden_{GetParam().name, GetParam().family};
};

INSTANTIATE_TEST_SUITE_P(
    All,
    LoraOfPeft,
    ::testing::Values(
        LoraCase{"qwen2_5_vl_all", "qwen2_5_vl", "all-linear"},
        LoraCase{"qwen3_vl_mixed", "qwen3_vl", {"q_proj", "down_proj", "attn.qkv", "linear_fc2"}},
        LoraCase{"qwen2_attention", "qwen2", {"q_proj", "v_proj"}},
        LoraCase{"qwen3_language", "qwen3", "all-linear"}),
    [](const auto& test) { return std::string(test.param.name); });

// Tolerances as for the families without adapters: float32 rounding in another order.
TEST_P(LoraOfPeft, scores_match_with_and_without_gradient) {
  const auto model = load_model(golden_.source(), cpu_options());
  const auto [logprobs, entropy] = scores(*model, golden_.input, golden_.prompt_length);
  expect_close(logprobs, golden_.expected.at("logprobs"), 5e-5, "with gradient");
  const at::NoGradGuard guard;
  const auto [again, unused] = scores(*model, golden_.input, golden_.prompt_length);
  expect_close(again, golden_.expected.at("logprobs"), 5e-5, "without gradient");
}

TEST_P(LoraOfPeft, gradients_match_and_weights_get_none) {
  const auto model = load_model(golden_.source(), cpu_options());
  const auto [logprobs, entropy] = scores(*model, golden_.input, golden_.prompt_length);
  logprobs.mean().neg().backward();
  EXPECT_EQ(model->adapter().parameters.size(), golden_.adapter.all().size());
  for (const Parameter& parameter : model->adapter().parameters) {
    ASSERT_TRUE(parameter.tensor.grad().defined()) << parameter.name;
    const at::Tensor expected = golden_.expected.at("grad/" + parameter.name);
    // An addition to the keys that is the same at every position shifts all scores of a query
    // alike; what remains of it is rounding.
    if (parameter.name.find(".k_proj.") != std::string::npos)
      expect_close(parameter.tensor.grad(), expected, 1e-4, parameter.name);
    else
      expect_close_in_norm(parameter.tensor.grad(), expected, 1e-4, parameter.name);
  }
  for (const Parameter& parameter : model->parameters()) {
    EXPECT_FALSE(parameter.tensor.requires_grad()) << parameter.name;
    EXPECT_FALSE(parameter.tensor.grad().defined()) << parameter.name;
  }
}

TEST_P(LoraOfPeft, merged_weights_are_those_of_peft) {
  const TensorReader merge = merge_adapter(golden_.source());
  for (const auto& [name, weight] : golden_.checkpoint.tensors) {
    const at::Tensor merged = merge(name);
    EXPECT_EQ(merged.defined(), golden_.expected.has("merged/" + name)) << name;
    if (merged.defined()) expect_close(merged, golden_.expected.at("merged/" + name), 2e-6, name);
  }
}

TEST_P(LoraOfPeft, new_adapters_cover_the_layers_of_peft_and_change_nothing_yet) {
  const core::Json lora = {{"rank", golden_.config.at("r")}, {"targets", GetParam().targets}};
  const auto model = load_model(golden_.checkpoint.source(), with_lora(lora));
  const Adapter& adapter = model->adapter();
  std::set<std::string> expected;
  for (const auto& [name, tensor] : golden_.adapter.all()) expected.insert(name);
  EXPECT_EQ(names_of(adapter.parameters), expected);
  for (const Parameter& parameter : adapter.parameters) {
    EXPECT_EQ(parameter.tensor.sizes(), golden_.adapter.at(parameter.name).sizes());
    const double largest = parameter.tensor.abs().max().item<double>();
    if (parameter.name.ends_with("lora_B.weight")) {
      EXPECT_EQ(largest, 0.0) << parameter.name;
    } else {
      const double bound = 1.0 / std::sqrt(static_cast<double>(parameter.tensor.size(1)));
      EXPECT_LE(largest, bound) << parameter.name;
      EXPECT_GT(largest, bound / 2) << parameter.name;
    }
  }
  const auto base = golden_.checkpoint.load();
  EXPECT_TRUE(at::equal(model->forward(golden_.input), base->forward(golden_.input)));
}

/// A layer's path by transformers' classes of today, as the goldens name it.
std::string path_today(const std::string& layer, bool has_vision) {
  if (!has_vision || layer.starts_with("model.language_model.") ||
      layer.starts_with("model.visual."))
    return layer;
  if (layer.starts_with("visual.")) return "model." + layer;
  return layer.starts_with("model.") ? "model.language_model." + layer.substr(6) : layer;
}

/// Layers that PEFT would adapt for these target_modules.
std::set<std::string> matches_of(const std::vector<std::string>& targets,
                                 const Checkpoint& checkpoint) {
  std::set<std::string> result;
  const bool has_vision = checkpoint.config.contains("vision_config");
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (!name.ends_with(".weight")) continue;
    const std::string path = path_today(name.substr(0, name.size() - 7), has_vision);
    for (const std::string& target : targets) {
      if (("." + path).ends_with("." + target)) result.insert(path);
    }
  }
  return result;
}

TEST_P(LoraOfPeft, target_modules_match_the_adapted_layers_alone) {
  for (const std::vector<Module>& freeze :
       std::vector<std::vector<Module>>{{}, {Module::kVision, Module::kMerger}}) {
    if (!freeze.empty() && GetParam().family != std::string("qwen2_5_vl")) continue;
    const auto model = load_model(golden_.checkpoint.source(),
                                  with_lora({{"targets", GetParam().targets}}, freeze));
    std::set<std::string> adapted;
    for (const Parameter& parameter : model->adapter().parameters) {
      const size_t begin = std::string("base_model.model.").size();
      adapted.insert(parameter.name.substr(begin, parameter.name.find(".lora_") - begin));
    }
    EXPECT_EQ(matches_of(model->adapter().target_modules, golden_.checkpoint), adapted);
  }
}

TEST(Lora, names_are_short_where_they_are_unambiguous) {
  const LoraGolden golden("qwen2_5_vl_all", "qwen2_5_vl");
  const auto all = load_model(golden.checkpoint.source(), with_lora(core::Json::object()));
  // "proj" alone would match the patch embedding too, and a number alone a layer of the decoder.
  EXPECT_EQ(all->adapter().target_modules,
            (std::vector<std::string>{"attn.proj",
                                      "down_proj",
                                      "gate_proj",
                                      "k_proj",
                                      "mlp.0",
                                      "mlp.2",
                                      "o_proj",
                                      "q_proj",
                                      "qkv",
                                      "up_proj",
                                      "v_proj"}));
}

TEST(Lora, same_seed_gives_the_same_adapter_and_another_seed_another) {
  const LoraGolden golden("qwen2_attention", "qwen2");
  ModelOptions options = with_lora(core::Json::object());
  const auto first_matrix = [&] {
    return load_model(golden.checkpoint.source(), options)->adapter().parameters.front().tensor;
  };
  const at::Tensor a = first_matrix(), b = first_matrix();
  options.seed = 1;
  EXPECT_TRUE(at::equal(a, b));
  EXPECT_FALSE(at::equal(a, first_matrix()));
}

TEST(Lora, layout_tells_the_adapter_without_weights) {
  const LoraGolden golden("qwen2_5_vl_all", "qwen2_5_vl");
  const ModelOptions options = with_lora({{"rank", 3}});
  const ModelSource source{
      .config = golden.checkpoint.config, .where = "config.json", .names = {}, .read = {}};
  const Adapter layout = read_layout(source, options).adapter;
  const auto model = load_model(golden.checkpoint.source(), options);
  ASSERT_EQ(layout.parameters.size(), model->adapter().parameters.size());
  for (size_t i = 0; i < layout.parameters.size(); ++i) {
    EXPECT_EQ(layout.parameters[i].name, model->adapter().parameters[i].name);
    EXPECT_EQ(layout.parameters[i].tensor.sizes(), model->adapter().parameters[i].tensor.sizes());
  }
}

// How PEFT and others have named one adapter over the years.
TEST(Lora, names_of_every_generation_are_one_adapter) {
  const LoraGolden golden("qwen2_5_vl_all", "qwen2_5_vl");
  const auto expected = load_model(golden.source(), cpu_options())->forward(golden.input);
  const std::string root = "base_model.model.";
  const std::string today = root + "model.language_model.", tower = root + "model.visual.";
  const auto expect_same = [&](const std::string& text, const std::string& vision, bool is_named) {
    ModelSource source = golden.source();
    std::map<std::string, std::string> originals;
    for (std::string& name : source.adapter->names) {
      const std::string original = name;
      if (name.starts_with(today)) name = text + name.substr(today.size());
      if (name.starts_with(tower)) name = vision + name.substr(tower.size());
      if (is_named) name = name.substr(0, name.size() - 7) + ".default.weight";
      originals[name] = original;
    }
    source.adapter->read = [&golden, originals](const std::string& name) {
      return golden.adapter.at(originals.at(name));
    };
    EXPECT_TRUE(at::equal(load_model(source, cpu_options())->forward(golden.input), expected))
        << text << is_named;
    const TensorReader merge = merge_adapter(source), as_today = merge_adapter(golden.source());
    for (const auto& [name, weight] : golden.checkpoint.tensors) {
      const at::Tensor merged = merge(name), expected_merge = as_today(name);
      ASSERT_EQ(merged.defined(), expected_merge.defined()) << name;
      EXPECT_TRUE(!merged.defined() || at::equal(merged, expected_merge)) << name;
    }
  };
  expect_same(today, tower, true);  // the state dict of a running model
  expect_same(root + "model.", root + "visual.", false);
  expect_same(root + "model.", root + "visual.", true);
  expect_same(root + "language_model.model.", root + "visual.", false);
  expect_same(root + "language_model.", root + "visual.", false);  // on the base class
  expect_same("model.language_model.", "model.visual.", false);    // without PEFT's own prefix
}

TEST(Lora, two_adapters_in_one_file_are_refused) {
  const LoraGolden golden("qwen2_attention", "qwen2");
  ModelSource source = golden.source();
  const std::string layer = "base_model.model.model.layers.0.self_attn.q_proj.lora_A";
  source.adapter->names.push_back(layer + ".default.weight");
  EXPECT_EQ(message_of<core::UserError>([&] { load_model(source, cpu_options()); }),
            "adapter: tensors '" + layer + ".weight' and '" + layer +
                ".default.weight' are both the " + layer +
                ".weight of one adapter: the file holds two adapters, expected one");
}

TEST(Lora, bfloat16_weights_keep_float32_adapters) {
  const LoraGolden golden("qwen2_attention", "qwen2");
  ModelSource source = golden.source();
  source.placement.dtype = at::kBFloat16;
  const auto model = load_model(source, cpu_options());
  EXPECT_EQ(model->adapter().parameters.front().tensor.scalar_type(), at::kFloat);
  EXPECT_EQ(model->forward(golden.input).scalar_type(), at::kBFloat16);
}

std::string error_of(const core::Json& lora, const std::vector<Module>& freeze = {}) {
  const LoraGolden golden("qwen2_attention", "qwen2");
  return message_of<config::ConfigError>(
      [&] { load_model(golden.checkpoint.source(), with_lora(lora, freeze)); });
}

TEST(Lora, wrong_settings_are_refused) {
  EXPECT_EQ(error_of(8),
            "model.lora is 8, expected null or {rank: 16, alpha: 32, targets: all-linear}");
  EXPECT_EQ(error_of({{"r", 8}}), "unknown key model.lora.r; expected rank, alpha, targets");
  EXPECT_EQ(error_of({{"alpha", 0}}), "model.lora.alpha is 0, expected a number above 0");
  EXPECT_EQ(error_of({{"targets", "q_proj"}}),
            "model.lora.targets is \"q_proj\", expected all-linear or a list of layer names such "
            "as [q_proj, v_proj]");
  EXPECT_EQ(error_of({{"targets", {"q_prj"}}}),
            "model.lora.targets: no layer that trains is called 'q_prj' (did you mean 'q_proj'?); "
            "this model's linear layers: down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, "
            "v_proj (frozen modules get no adapter)");
  EXPECT_EQ(error_of(core::Json::object(), {Module::kLanguage}),
            "model.lora is set, but model.freeze leaves no layer to adapt: remove a module from "
            "it");
  EXPECT_EQ(message_of<core::UserError>([] {
              read_lora({{"rank", 0}});
            }),
            "model.lora: 'rank' is 0, expected 1..65536");
}

std::string saved_error(const std::function<void(ModelSource&)>& change,
                        const core::Json& lora = nullptr) {
  const LoraGolden golden("qwen2_attention", "qwen2");
  ModelSource source = golden.source();
  change(source);
  return message_of<core::UserError>([&] { load_model(source, with_lora(lora)); });
}

struct BadAdapter {
  std::function<void(ModelSource& source)> change;
  const char* error;
};

// A tensor that has no place must not vanish in a merged export either.
TEST(Lora, adapter_that_does_not_fit_is_refused_opened_and_merged) {
  const auto add = [](const char* name) {
    return [name](ModelSource& source) { source.adapter->names.emplace_back(name); };
  };
  const BadAdapter cases[] = {
      {[](ModelSource& source) {
         std::erase_if(source.adapter->names, [](const std::string& name) {
           return name.ends_with("layers.1.self_attn.v_proj.lora_B.weight");
         });
       },
       "adapter: the adapter has no tensor "
       "'base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight'; expected shape [8, 4]"},
      {add("base_model.model.lm_head.lora_A.weight"),
       "adapter: tensor 'base_model.model.lm_head.lora_A.weight' belongs to no linear layer of the "
       "base model: the adapter was made for another model, or is of a kind other than LoRA on "
       "linear layers"},
      {add("base_model.model.model.layers.77.mlp.up_proj.lora_A.weight"),
       "adapter: tensor 'base_model.model.model.layers.77.mlp.up_proj.lora_A.weight' belongs to no "
       "linear layer of the base model: the adapter was made for another model, or is of a kind "
       "other than LoRA on linear layers"},
      {[](ModelSource& source) { source.adapter->rank = 2; },
       "adapter: tensor 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight' has shape "
       "[4, 16], expected [2, 16]: the adapter was made for another base model or rank"},
  };
  for (const BadAdapter& bad : cases) {
    EXPECT_EQ(saved_error(bad.change), bad.error);
    const LoraGolden golden("qwen2_attention", "qwen2");
    ModelSource source = golden.source();
    source.read = [](const std::string& name) -> at::Tensor {
      throw std::logic_error("read " + name + " before the adapter was checked");
    };
    bad.change(source);
    EXPECT_EQ(message_of<core::UserError>([&] { merge_adapter(source); }), bad.error);
  }
}

TEST(Lora, adapter_that_trains_on_must_be_described_as_it_is) {
  const auto same = [](ModelSource&) {};
  const core::Json right = {{"rank", 4}, {"alpha", 3}, {"targets", {"q_proj", "v_proj"}}};
  const LoraGolden golden("qwen2_attention", "qwen2");
  EXPECT_NO_THROW(load_model(golden.source(), with_lora(right)));
  EXPECT_EQ(saved_error(same, {{"rank", 8}, {"alpha", 3}}),
            "adapter: the adapter has rank 4 and alpha 3, but model.lora says 8 and 3: give it the "
            "adapter's values to go on training it");
  EXPECT_EQ(saved_error(same, {{"rank", 4}, {"alpha", 3}}),
            "adapter: the adapter leaves out model.layers.0.self_attn.k_proj, but "
            "model.lora.targets cover it: give it the adapter's targets to go on training it");
  EXPECT_EQ(saved_error(same, {{"rank", 4}, {"alpha", 3}, {"targets", {"q_proj"}}}),
            "adapter: the adapter covers model.layers.0.self_attn.v_proj, but model.lora.targets "
            "leave it out: give it the adapter's targets to go on training it");
}

}  // namespace
}  // namespace sgrpo::model
