#include "sgrpo/policy/policy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "sgrpo/checkpoint/safetensors.h"
#include "testing/tiny_policy.h"

namespace sgrpo::policy {
namespace {

using core::Json;
using testing::TinyCheckpoint;

class OpenPolicy : public ::testing::Test {
 protected:
  std::filesystem::path folder() const { return scratch_ / "model"; }
  void write(const TinyCheckpoint& tiny = {}) { testing::write_tiny_checkpoint(folder(), tiny); }
  /// The message of opening the folder, with short paths.
  std::string error(const model::ModelOptions& options = {}) const {
    return scratch_.shorten(
        testing::message_of<core::UserError>([&] { open(folder(), options, {}); }));
  }
  /// Changes one JSON file of the folder.
  void edit(const std::string& file, const std::function<void(Json&)>& change) const {
    Json json = core::parse_json(core::read_file(folder() / file), file);
    change(json);
    core::write_file_atomic(folder() / file, json.dump());
  }
  /// Writes the weights anew after `change`.
  using Named = std::vector<std::pair<std::string, at::Tensor>>;
  void edit_weights(const std::function<void(Named&)>& change) const {
    Named tensors = testing::tiny_tensors({});
    change(tensors);
    checkpoint::write_safetensors(folder() / "model.safetensors", tensors, {{"format", "pt"}});
  }
  testing::Scratch scratch_;
};

TEST_F(OpenPolicy, parts_of_a_sound_folder_agree) {
  write();
  const auto policy = open(folder(), {}, {});
  const data::PromptEncoder& encoder = *policy->encoder();
  EXPECT_EQ(encoder.spec().turn_end_id, 2);
  EXPECT_EQ(policy->end_token_ids(), (std::vector<int64_t>{2, 0}));
  EXPECT_EQ(as_language(*policy).model().spec().vocab_size, 408);
  EXPECT_EQ(encoder.completion_text({30, 31, 0}), encoder.completion_text({30, 31}))
      << "every end token is left out of a text";
}

TEST_F(OpenPolicy, turn_end_ends_a_completion_although_the_file_leaves_it_out) {
  write();
  edit("generation_config.json", [](Json& json) { json["eos_token_id"] = 0; });
  EXPECT_EQ(open(folder(), {}, {})->end_token_ids(), (std::vector<int64_t>{0, 2}));
  std::filesystem::remove(folder() / "generation_config.json");
  edit("config.json", [](Json& json) { json.erase("eos_token_id"); });
  EXPECT_EQ(open(folder(), {}, {})->end_token_ids(), (std::vector<int64_t>{2}));
}

TEST_F(OpenPolicy, tokenizer_with_more_ids_than_rows_is_refused) {
  TinyCheckpoint tiny;
  tiny.config["text_config"]["vocab_size"] = 399;
  write(tiny);
  EXPECT_EQ(error(),
            "model/config.json: the tokenizer has 400 ids, but vocab_size is 399: tokenizer and "
            "weights do not belong together");
}

TEST_F(OpenPolicy, placeholder_ids_that_the_tokenizer_calls_otherwise_are_refused) {
  TinyCheckpoint tiny;
  tiny.config["image_token_id"] = 17;
  write(tiny);
  EXPECT_EQ(error(),
            "model/config.json: image_token_id is 17, but the tokenizer's <|image_pad|> is 5: "
            "tokenizer and weights do not belong together");
  edit("config.json", [](Json& config) {
    config["image_token_id"] = 5;
    config["video_token_id"] = 18;
  });
  EXPECT_EQ(error(),
            "model/config.json: video_token_id is 18, but the tokenizer's <|video_pad|> is 6: "
            "tokenizer and weights do not belong together");
}

TEST_F(OpenPolicy, processor_that_cuts_other_patches_is_refused) {
  write();
  for (const auto& [key, value, expected] : std::vector<std::tuple<const char*, int64_t, int64_t>>{
           {"patch_size", 14, 7}, {"merge_size", 1, 2}, {"temporal_patch_size", 1, 2}}) {
    edit("preprocessor_config.json", [&](Json& json) {
      json = testing::tiny_preprocessor();
      json[key] = value;
    });
    EXPECT_EQ(error(),
              core::str("model/preprocessor_config.json: ",
                        key,
                        " is ",
                        value,
                        ", but vision_config in model/config.json says ",
                        expected));
  }
  std::filesystem::remove(folder() / "preprocessor_config.json");
  EXPECT_EQ(error(),
            "model: no preprocessor_config.json or processor_config.json, which qwen2_5_vl needs "
            "to read images");
}

TEST_F(OpenPolicy, pixel_limits_must_not_cross) {
  write();
  EXPECT_EQ(testing::message_of<core::UserError>(
                [&] { open(folder(), {}, {.min_pixels = 10000, .max_pixels = std::nullopt}); }),
            core::str("the folder's own max_pixels is 3136, below --min-pixels = 10000 (",
                      (folder() / "preprocessor_config.json").string(),
                      "); set --max-pixels to at least 10000"));
}

TEST_F(OpenPolicy, unknown_and_quantised_architectures_are_refused_by_name) {
  write();
  edit("config.json", [](Json& config) { config["model_type"] = "qwen2_5_lv"; });
  EXPECT_EQ(error().find("model/config.json: unknown architecture 'qwen2_5_lv' (did you mean "
                         "'qwen2_5_vl'?); known: "),
            0U)
      << error();
  edit("config.json", [](Json& config) { config = testing::tiny_config(); });
  edit_weights([](Named& tensors) { tensors.emplace_back("model.qweight", at::ones({2})); });
  EXPECT_EQ(error(),
            "model/config.json: the checkpoint has tensor 'model.qweight', so its weights are "
            "quantised (GPTQ or AWQ); quantised checkpoints are not supported: load the float32 "
            "or bfloat16 original");
}

TEST_F(OpenPolicy, weights_that_are_no_numbers_are_refused) {
  write();
  for (const double value : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    edit_weights([&](Named& tensors) {
      for (auto& [name, tensor] : tensors)
        if (name == "model.norm.weight") tensor[3] = value;
    });
    EXPECT_EQ(
        error(),
        "model: tensor 'model.norm.weight' holds NaN or infinity: the file is damaged, or its "
        "training diverged; take an earlier checkpoint");
  }
}

TEST_F(OpenPolicy, missing_and_misshapen_tensors_are_named) {
  write();
  edit_weights([](Named& tensors) {
    std::erase_if(tensors, [](const auto& item) { return item.first == "model.norm.weight"; });
  });
  EXPECT_EQ(error().find("model/config.json: the checkpoint has no tensor 'model.norm.weight'"), 0U)
      << error();
  edit_weights([](Named& tensors) {
    for (auto& [name, tensor] : tensors)
      if (name == "model.norm.weight") tensor = at::ones({31});
  });
  EXPECT_EQ(error(),
            "model/config.json: tensor 'model.norm.weight' has shape [31] in the checkpoint, "
            "config.json says [32]");
}

TEST_F(OpenPolicy, what_is_no_checkpoint_is_told_what_was_looked_for) {
  EXPECT_EQ(error(),
            "model: no such folder; expected a model folder on this machine (names on the Hugging "
            "Face Hub are not downloaded: fetch them first with `hf download NAME --local-dir "
            "DIR`)");
  std::filesystem::create_directories(folder());
  EXPECT_EQ(error().find("model is not a checkpoint: it has neither config.json"), 0U) << error();
  scratch_.write("model/config.json", testing::tiny_config().dump());
  EXPECT_EQ(error().find("model is not a checkpoint: config.json is there, but neither"), 0U)
      << error();
  scratch_.write("model/pytorch_model.bin", "pickle");
  EXPECT_EQ(error().find("model has weights only as pytorch_model.bin, which is not read"), 0U)
      << error();
}

TEST_F(OpenPolicy, device_that_is_not_there_is_refused) {
  if (at::hasCUDA()) GTEST_SKIP() << "a CUDA build";
  write();
  model::ModelOptions options;
  options.device = model::DeviceKind::kCuda;
  EXPECT_EQ(error(options),
            "model.device is cuda, but this build has no CUDA (the preset `cuda` has); "
            "model.device=auto or cpu takes the CPU");
}

TEST_F(OpenPolicy, bad_completion_ids_are_found) {
  write();
  const auto policy = open(folder(), {}, {});
  EXPECT_EQ(policy->find_bad_id({0, 30, 407}, false), "");
  EXPECT_EQ(policy->find_bad_id({30, 408}, false), "token id 408, expected 0..407");
  EXPECT_EQ(policy->find_bad_id({-1}, false), "token id -1, expected 0..407");
  EXPECT_EQ(policy->find_bad_id({6}, false), "token id 6, an image or video placeholder");
  EXPECT_EQ(policy->find_bad_id({30, 407}, true),
            "token id 407, which is beyond the tokenizer's 400 ids and gets no probability under "
            "rollout.sampling_mask");
}

/// Weights by name.
std::map<std::string, at::Tensor> weights_of(const Policy& policy) {
  std::map<std::string, at::Tensor> weights;
  for (const model::Parameter& parameter : as_language(policy).model().parameters())
    weights[parameter.name] = parameter.tensor.detach().clone();
  return weights;
}

TEST_F(OpenPolicy, frozen_copy_is_whole_and_stays_when_the_policy_moves) {
  write();
  model::ModelOptions options;
  options.freeze = {model::Module::kVision};
  const auto policy = open(folder(), options, {});
  const auto copy = policy->frozen_copy();
  EXPECT_TRUE(copy->arena().segments.empty());
  const auto before = weights_of(*copy);
  {
    const at::NoGradGuard no_grad;
    for (const ParameterSegment& segment : policy->arena().segments)
      at::Tensor(segment.weight).add_(1.0);
  }
  const auto after = weights_of(*copy), moved = weights_of(*policy);
  for (const auto& [name, weight] : before) {
    EXPECT_TRUE(weight.equal(after.at(name))) << name;
    const bool is_frozen =
        name.find("visual.") != std::string::npos && name.find("merger") == std::string::npos;
    EXPECT_EQ(weight.equal(moved.at(name)), is_frozen) << name;
  }
}

TEST_F(OpenPolicy, frozen_copy_shares_what_does_not_train) {
  write();
  model::ModelOptions options;
  options.freeze = {model::Module::kVision, model::Module::kMerger};
  const auto policy = open(folder(), options, {});
  const auto copy = policy->frozen_copy();
  const auto data_of = [](const Policy& of, const std::string& name) -> const void* {
    for (const model::Parameter& parameter : as_language(of).model().parameters())
      if (parameter.name == name) return parameter.tensor.const_data_ptr();
    return nullptr;
  };
  EXPECT_EQ(data_of(*policy, "visual.merger.ln_q.weight"),
            data_of(*copy, "visual.merger.ln_q.weight"));
  EXPECT_NE(data_of(*policy, "model.norm.weight"), data_of(*copy, "model.norm.weight"));
}

TEST_F(OpenPolicy, frozen_copy_moves_toward_the_policy_by_its_share) {
  write();
  const auto policy = open(folder(), {}, {});
  const auto copy = policy->frozen_copy();
  const auto start = weights_of(*copy);
  {
    const at::NoGradGuard no_grad;
    for (const ParameterSegment& segment : policy->arena().segments)
      at::Tensor(segment.weight).add_(2.0);
  }
  copy->move_toward(*policy, 0.75);
  for (const auto& [name, weight] : weights_of(*copy))
    EXPECT_LT((weight - start.at(name) - 0.5).abs().max().item<double>(), 1e-6) << name;
  EXPECT_THROW(policy->move_toward(*copy, 0.5), core::ContractError) << "it is no frozen copy";
}

TEST_F(OpenPolicy, arena_holds_what_trains_and_says_what_a_save_rounds) {
  TinyCheckpoint tiny;
  write(tiny);
  edit_weights([](Named& tensors) {
    for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kBFloat16);
  });
  model::ModelOptions options;
  options.freeze = {model::Module::kVision, model::Module::kMerger};
  const auto policy = open(folder(), options, {});
  ASSERT_FALSE(policy->arena().segments.empty());
  int64_t values = 0;
  for (const ParameterSegment& segment : policy->arena().segments) {
    EXPECT_EQ(segment.module, "language") << segment.name;
    EXPECT_TRUE(segment.weight.requires_grad()) << segment.name;
    EXPECT_TRUE(segment.is_rounded_on_disk) << segment.name;
    values += segment.weight.numel();
  }
  EXPECT_EQ(policy->arena().num_values(), values);
}

TEST_F(OpenPolicy, masked_ids_change_the_distribution_of_the_others_only_by_its_sum) {
  const testing::TinyPolicy& tiny = testing::TinyPolicy::instance();
  const auto prompt = tiny.prompts()[1];
  const auto score = [&](bool mask) {
    return tiny.policy().score(
        tiny.policy()
            .pack({completion_row(prompt, {30, 31, 2})}, {.sampling_mask = mask}, {})
            .front());
  };
  const Scores masked = score(true), full = score(false);
  EXPECT_TRUE((masked.logprobs > full.logprobs).all().item<bool>());
  EXPECT_TRUE(masked.logprobs.requires_grad());
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(score(false).logprobs.requires_grad());
}

}  // namespace
}  // namespace sgrpo::policy
