#include "sgrpo/checkpoint/init.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "checkpoint/files.h"
#include "sgrpo/checkpoint/model_folder.h"

namespace sgrpo::checkpoint {
namespace {

using testing::read_text;
using testing::Scratch;
using testing::write_text;

NewModel tiny_model(const Scratch& scratch) {
  write_text(scratch / "tokenizer.json",
             R"({"added_tokens": [{"id": 0, "content": "<|endoftext|>"},
                                  {"id": 2, "content": "<|im_end|>"}]})");
  write_text(scratch / "template.jinja", "{{ messages }}");
  NewModel model;
  model.config = {{"model_type", "qwen2"}, {"hidden_size", 4}};
  model.preprocessor = {{"patch_size", 14}};
  model.tokenizer = scratch / "tokenizer.json";
  model.chat_template = scratch / "template.jinja";
  model.tensors = {{"b", at::ones({2})},
                   {"c", at::ones({1}, at::kHalf)},
                   {"a", at::ones({2, 2})},
                   {"d", at::ones({1}, at::kDouble)}};
  return model;
}

TEST(NewModelFolder, write_gives_a_folder_that_opens) {
  const Scratch scratch;
  const NewModel model = tiny_model(scratch);
  write_new_model_folder(scratch / "sub" / "out", model);
  const auto out = scratch / "sub" / "out";
  const ModelFolder folder(out);
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"d", "a", "b", "c"}));
  EXPECT_EQ(folder.config(), model.config);
  EXPECT_EQ(folder.end_token_ids(), (std::vector<int64_t>{2, 0}));
  EXPECT_EQ(read_text(out / "tokenizer.json"), read_text(scratch / "tokenizer.json"));
  EXPECT_EQ(read_text(out / "chat_template.jinja"), "{{ messages }}");
  EXPECT_EQ(core::parse_json(read_text(out / "preprocessor_config.json"), "p"), model.preprocessor);
  EXPECT_EQ(SafetensorsFile(out / "model.safetensors").metadata().at("format"), "pt");
  const core::Json config = core::parse_json(read_text(out / "tokenizer_config.json"), "t");
  EXPECT_EQ(config.at("eos_token"), "<|im_end|>");
  EXPECT_EQ(config.at("pad_token"), "<|endoftext|>");
}

TEST(NewModelFolder, write_without_optional_parts_leaves_them_out) {
  const Scratch scratch;
  NewModel model = tiny_model(scratch);
  write_text(model.tokenizer, "{}");
  model.chat_template.clear();
  model.preprocessor = nullptr;
  write_new_model_folder(scratch / "out", model);
  EXPECT_FALSE(std::filesystem::exists(scratch / "out" / "chat_template.jinja"));
  EXPECT_FALSE(std::filesystem::exists(scratch / "out" / "preprocessor_config.json"));
  EXPECT_TRUE(ModelFolder(scratch / "out").end_token_ids().empty());
}

TEST(NewModelFolder, write_over_files_or_from_missing_ones_is_refused) {
  const Scratch scratch;
  NewModel model = tiny_model(scratch);
  EXPECT_MESSAGE(core::UserError,
                 "exists already and is not an empty folder",
                 write_new_model_folder(scratch.path(), model));
  model.tokenizer = scratch / "absent.json";
  EXPECT_MESSAGE(
      core::UserError, "absent.json: No such file", write_new_model_folder(scratch / "out", model));
  write_text(model.tokenizer, "not json");
  EXPECT_MESSAGE(core::UserError, "not valid JSON", write_new_model_folder(scratch / "out", model));
  EXPECT_FALSE(std::filesystem::exists(scratch / "out"));
}

}  // namespace
}  // namespace sgrpo::checkpoint
