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
  model.tensors = {as_lazy("b", at::ones({2})),
                   as_lazy("c", at::ones({1}, at::kHalf)),
                   as_lazy("a", at::ones({2, 2})),
                   as_lazy("d", at::ones({1}, at::kDouble))};
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

// 8, 2, 16 and 8 bytes in shards of at most 12: the tensor of 16 bytes leaves at once, b and c fill
// a shard that d does not fit into. As huggingface_hub's split_torch_state_dict_into_shards.
TEST(NewModelFolder, write_above_the_limit_gives_shards_and_an_index) {
  const Scratch scratch;
  NewModel model = tiny_model(scratch);
  model.max_shard_bytes = 12;
  write_new_model_folder(scratch / "out", model);
  const auto out = scratch / "out";
  EXPECT_FALSE(std::filesystem::exists(out / "model.safetensors"));
  EXPECT_EQ(read_text(out / "model.safetensors.index.json"),
            R"({
  "metadata": {
    "total_parameters": 8,
    "total_size": 34
  },
  "weight_map": {
    "a": "model-00001-of-00003.safetensors",
    "b": "model-00002-of-00003.safetensors",
    "c": "model-00002-of-00003.safetensors",
    "d": "model-00003-of-00003.safetensors"
  }
}
)");
  const ModelFolder folder(out);
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_TRUE(at::equal(folder.read("c"), at::ones({1}, at::kHalf)));
  EXPECT_EQ(SafetensorsFile(out / "model-00002-of-00003.safetensors").metadata().at("format"),
            "pt");
  model.max_shard_bytes = 34;
  write_new_model_folder(scratch / "whole", model);
  EXPECT_TRUE(std::filesystem::exists(scratch / "whole" / "model.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(scratch / "whole" / "model.safetensors.index.json"));
}

TEST(NewModelFolder, write_holds_one_tensor_at_a_time) {
  const Scratch scratch;
  NewModel model = tiny_model(scratch);
  model.tensors.clear();
  model.max_shard_bytes = 64;
  int living = 0, most = 0, made = 0;
  std::vector<float> memory(16, 1.0f);
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    model.tensors.push_back({.name = name, .dtype = at::kFloat, .shape = {8}, .make = [&] {
                               most = std::max(most, ++living);
                               ++made;
                               return at::from_blob(memory.data(), {8}, [&](void*) { --living; });
                             }});
  }
  write_new_model_folder(scratch / "out", model);
  EXPECT_EQ(made, 5);
  EXPECT_EQ(living, 0);
  EXPECT_EQ(most, 1);
  EXPECT_EQ(ModelFolder(scratch / "out").names().size(), 5U);
}

TEST(LazyTensor, another_tensor_than_announced_is_refused_and_leaves_no_file) {
  const Scratch scratch;
  LazyTensor tensor = as_lazy("w", at::ones({2, 3}));
  EXPECT_EQ(tensor.bytes(), 24U);
  tensor.shape = {3, 2};
  EXPECT_MESSAGE(core::ContractError,
                 "tensor 'w' was made as Float [2, 3], announced as Float [3, 2]",
                 write_lazy_safetensors(scratch / "w.safetensors", {tensor}));
  tensor = as_lazy("w", at::ones({2, 3}));
  tensor.dtype = at::kBFloat16;
  EXPECT_MESSAGE(core::ContractError,
                 "announced as BFloat16 [2, 3]",
                 write_lazy_safetensors(scratch / "w.safetensors", {tensor}));
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

}  // namespace
}  // namespace sgrpo::checkpoint
