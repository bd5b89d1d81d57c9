// One checkpoint, written as the published ones are and as transformers 5 writes it: the program's
// answers are the same to the last digit.
#include <ATen/ATen.h>

#include "cli/program.h"
#include "sgrpo/checkpoint/safetensors.h"
#include "testing/tiny_families.h"

namespace sgrpo::cli {
namespace {

namespace fs = std::filesystem;
using core::Json;

Json read_json(const fs::path& path) {
  return core::parse_json(core::read_file(path), path.string());
}

/// A tiny checkpoint, rewritten by the tests, and what the program says of it.
class Layouts : public ::testing::TestWithParam<testing::TinyCheckpoint> {
 protected:
  void SetUp() override {
    scratch_.write("a.png", testing::make_png(42, 28));
    Json text = {{"id", "text"}, {"prompt", "Which item is this?"}, {"completion", "a bag"}};
    Json image = {{"id", "image"}, {"prompt", "<image>What?"}, {"images", {"a.png"}}};
    image["completion"] = "a shoe, dark";
    scratch_.write(
        "in.jsonl",
        testing::to_jsonl(has_vision() ? std::vector<Json>{text, image} : std::vector<Json>{text}));
    restore();
    expected_ = answers();
    ASSERT_FALSE(expected_.empty());
  }

  bool has_vision() const { return GetParam().config.contains("vision_config"); }
  std::string family() const { return testing::family_name(GetParam()); }
  fs::path folder() const { return scratch_ / "model"; }
  void restore() const {
    fs::remove_all(folder());
    testing::write_tiny_checkpoint(folder(), GetParam());
  }
  void write(const std::string& file, const Json& json) const {
    core::write_file_atomic(folder() / file, json.dump());
  }
  void edit(const std::string& file, const std::function<void(Json&)>& change) const {
    Json json = read_json(folder() / file);
    change(json);
    write(file, json);
  }
  void rename_tensors(const std::function<std::string(const std::string&)>& rename) const {
    auto tensors = testing::tiny_tensors(GetParam());
    for (auto& [name, tensor] : tensors) name = rename(name);
    checkpoint::write_safetensors(folder() / "model.safetensors", tensors, {{"format", "pt"}});
  }

  /// Prompt ids, completion ids, log-probs and entropies of every row.
  std::string answers() const {
    const Outcome outcome = run({"logprobs",
                                 "--model",
                                 folder().string(),
                                 "--input",
                                 (scratch_ / "in.jsonl").string(),
                                 "--output",
                                 (scratch_ / "out.jsonl").string()});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return core::read_file(scratch_ / "out.jsonl");
  }
  /// Expects the answers of the folder as it was first, and restores it.
  void expect_same(const std::string& what) const {
    EXPECT_EQ(answers(), expected_) << what;
    restore();
  }

  testing::Scratch scratch_;
  std::string expected_;
};

TEST_P(Layouts, tensor_names_of_every_generation_are_found) {
  const auto is_visual = [](const std::string& name) { return name.find("visual.") != name.npos; };
  const auto bare = [](const std::string& name) {
    for (const char* prefix : {"model.language_model.", "model.visual.", "model."})
      if (core::starts_with(name, prefix)) return name.substr(std::string_view(prefix).size());
    return core::starts_with(name, "visual.") ? name.substr(7) : name;
  };
  const auto rename = [&](const std::string& text, const std::string& vision) {
    rename_tensors([&](const std::string& name) {
      if (name == "lm_head.weight") return name;
      return (is_visual(name) ? vision : text) + bare(name);
    });
  };
  rename("model.", "visual.");
  expect_same("model.* and visual.*");
  rename("model.language_model.", "model.visual.");
  expect_same("model.language_model.* and model.visual.*");
  rename("language_model.model.", "visual.");
  expect_same("language_model.model.* and visual.*");
  rename("language_model.", "visual.");
  expect_same("language_model.* and visual.*, as the base class writes");
  if (has_vision()) return;
  rename("", "");
  expect_same("no prefix, as the base class writes");
}

// A value head or a layer that config.json leaves out is named once, unused, and kept.
TEST_P(Layouts, tensors_that_nothing_uses_are_named_and_kept) {
  auto tensors = testing::tiny_tensors(GetParam());
  tensors.emplace_back("v_head.summary.weight", at::full({1, 3}, 0.1).to(at::kBFloat16));
  tensors.emplace_back("step", at::tensor({int64_t{7}}));
  checkpoint::write_safetensors(folder() / "model.safetensors", tensors, {{"format", "pt"}});
  const std::string bytes = core::read_file(folder() / "model.safetensors");
  const Outcome outcome = run(
      {"export", "--checkpoint", folder().string(), "--output", (scratch_ / "exported").string()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(core::read_file(scratch_ / "exported" / "model.safetensors"), bytes);
  expect_same("two tensors more");
}

TEST_P(Layouts, configurations_of_every_generation_say_the_same) {
  const auto to_old_rope = [&](Json& text) {
    Json rope = text.at("rope_parameters");
    text.erase("rope_parameters");
    text["rope_theta"] = rope.at("rope_theta");
    rope.erase("rope_theta");
    text["rope_scaling"] = has_vision() ? rope : Json();
  };
  edit("config.json", [&](Json& config) {
    to_old_rope(config.contains("text_config") ? config["text_config"] : config);
    config.erase("dtype");
    config["torch_dtype"] = "float32";
  });
  expect_same("rope_theta and rope_scaling.rope_type");
  if (!has_vision() || family() == "qwen3_vl") return;
  edit("config.json", [&](Json& config) {
    Json text = config.at("text_config");
    config.erase("text_config");
    to_old_rope(text);
    text["rope_scaling"]["type"] = "mrope";
    text["rope_scaling"].erase("rope_type");
    for (const auto& [key, value] : text.items())
      if (!config.contains(key)) config[key] = value;
    Json& vision = config["vision_config"];
    vision["in_chans"] = vision.at("in_channels");
    for (const char* key : {"in_channels", "model_type", "hidden_act"}) vision.erase(key);
  });
  expect_same("a flat config.json with rope_scaling.type");
}

TEST_P(Layouts, processors_of_every_generation_say_the_same) {
  if (!has_vision()) return;  // nothing to read
  const Json old = testing::tiny_preprocessor();
  Json sized = old;
  sized["size"] = {{"shortest_edge", old.at("min_pixels")}, {"longest_edge", old.at("max_pixels")}};
  sized.erase("min_pixels");
  sized.erase("max_pixels");
  write("preprocessor_config.json", sized);
  expect_same("size.{shortest,longest}_edge");
  Json bare = old;  // what the published files leave out
  for (const char* key :
       {"do_convert_rgb", "do_resize", "resample", "do_rescale", "rescale_factor"})
    bare.erase(key);
  write("preprocessor_config.json", bare);
  expect_same("defaults left out");
  fs::remove(folder() / "preprocessor_config.json");
  write("processor_config.json", {{"image_processor", sized}, {"processor_class", "any"}});
  expect_same("processor_config.json alone");
  Json other = old;
  other["max_pixels"] = 196;
  write("preprocessor_config.json", other);
  write("processor_config.json", {{"image_processor", sized}});
  expect_same("processor_config.json before preprocessor_config.json");
}

TEST_P(Layouts, tokenizers_of_every_generation_say_the_same) {
  edit("tokenizer.json", [](Json& json) {
    for (Json& merge : json["model"]["merges"])
      merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  });
  expect_same("merges as texts");
  const Json tokenizer = read_json(folder() / "tokenizer.json");
  std::string merges = "#version: 0.2\n";
  for (const Json& merge : tokenizer.at("model").at("merges"))
    merges += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
  core::write_file_atomic(folder() / "merges.txt", merges);
  write("vocab.json", tokenizer.at("model").at("vocab"));
  edit("tokenizer_config.json", [&](Json& json) {
    json["tokenizer_class"] = "Qwen2Tokenizer";
    for (const Json& token : tokenizer.at("added_tokens"))
      json["added_tokens_decoder"][std::to_string(token.at("id").get<int>())] = token;
  });
  fs::remove(folder() / "tokenizer.json");
  expect_same("vocab.json and merges.txt");
}

TEST_P(Layouts, template_may_stand_in_every_place) {
  const std::string text = core::read_file(folder() / "chat_template.jinja");
  const auto move_to = [&](const std::string& file, const Json& value) {
    fs::remove(folder() / "chat_template.jinja");
    Json json = fs::exists(folder() / file) ? read_json(folder() / file) : Json::object();
    json["chat_template"] = value;
    write(file, json);
    expect_same(file + " " + value.type_name());
  };
  move_to("tokenizer_config.json", text);
  const Json named = {{"name", "default"}, {"template", text}};
  move_to("tokenizer_config.json", Json::array({named}));
  move_to("tokenizer_config.json", {{"default", text}});
  move_to("chat_template.json", text);
  if (has_vision()) move_to("processor_config.json", text);
}

INSTANTIATE_TEST_SUITE_P(Families,
                         Layouts,
                         ::testing::ValuesIn(testing::tiny_families()),
                         [](const auto& suite) { return testing::family_name(suite.param); });

}  // namespace
}  // namespace sgrpo::cli
