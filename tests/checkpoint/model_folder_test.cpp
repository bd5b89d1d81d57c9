#include "sgrpo/checkpoint/model_folder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "checkpoint/files.h"
#include "checkpoint/tiny_folder.h"
#include "sgrpo/core/sha256.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;

using testing::numbers;
using testing::read_text;
using testing::Scratch;
using testing::write_text;
using testing::write_tiny_folder;

at::Tensor untouched(const std::string&) { return {}; }

/// Relative paths of all files below a folder, sorted.
std::vector<std::string> tree(const fs::path& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), folder).string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(ModelFolder, open_sharded_folder_finds_every_tensor) {
  const Scratch scratch;
  write_tiny_folder(scratch / "m");
  const ModelFolder model(scratch / "m");
  EXPECT_EQ(model.folder(), scratch / "m");
  EXPECT_EQ(model.config().at("model_type"), "tiny");
  // Shards in the index's order: its first name lies in the second file.
  EXPECT_EQ(model.names(),
            (std::vector<std::string>{"a.weight", "scale", "embed.weight", "z.bias"}));
  EXPECT_TRUE(model.has("scale"));
  EXPECT_FALSE(model.has("scal"));
  EXPECT_EQ(model.entry("a.weight").dtype, "BF16");
  EXPECT_EQ(model.entry("embed.weight").shape, (std::vector<int64_t>{16, 8}));
  EXPECT_TRUE(at::equal(model.read("embed.weight"), numbers({16, 8}, 0.0).to(at::kFloat)));
  EXPECT_EQ(model.read("scale").item<int64_t>(), 3);
  EXPECT_MESSAGE(FormatError, "has no tensor 'scal' (did you mean 'scale'?)", model.read("scal"));
}

TEST(ModelFolder, end_token_ids_come_from_the_first_place_that_has_them) {
  const Scratch scratch;
  const fs::path folder = scratch / "m";
  write_tiny_folder(folder);
  EXPECT_EQ(ModelFolder(folder).end_token_ids(), (std::vector<int64_t>{2, 0}));
  write_text(folder / "generation_config.json", R"({"eos_token_id": 5})");
  EXPECT_EQ(ModelFolder(folder).end_token_ids(), (std::vector<int64_t>{5}));
  write_text(folder / "generation_config.json", R"({"top_k": 5})");
  EXPECT_EQ(ModelFolder(folder).end_token_ids(), (std::vector<int64_t>{9}));
  fs::remove(folder / "generation_config.json");
  write_text(folder / "config.json", R"({"text_config": {"eos_token_id": [7]}})");
  EXPECT_EQ(ModelFolder(folder).end_token_ids(), (std::vector<int64_t>{7}));
  write_text(folder / "config.json", "{}");
  EXPECT_TRUE(ModelFolder(folder).end_token_ids().empty());
}

TEST(ModelFolder, open_wrong_path_says_what_was_looked_for) {
  const Scratch scratch;
  EXPECT_MESSAGE(core::UserError, "no such folder", ModelFolder(scratch / "absent"));
  EXPECT_MESSAGE(core::UserError, "hf download", ModelFolder("Qwen/Qwen2.5-VL-3B-Instruct"));
  EXPECT_MESSAGE(core::UserError,
                 "is not a checkpoint: it has neither config.json",
                 ModelFolder(scratch.path()));
  write_text(scratch / "file", "x");
  EXPECT_MESSAGE(core::UserError, "is not a folder", ModelFolder(scratch / "file"));
  write_text(scratch / "m" / "config.json", "{}");
  EXPECT_MESSAGE(core::UserError, "nor any other *.safetensors", ModelFolder(scratch / "m"));
  write_text(scratch / "m" / "pytorch_model.bin", "x");
  EXPECT_MESSAGE(FormatError, "only as pytorch_model.bin", ModelFolder(scratch / "m"));
  EXPECT_MESSAGE(FormatError, "save_pretrained(NEW_DIR)", ModelFolder(scratch / "m"));
  write_text(scratch / "m" / "config.json", "{");
  EXPECT_MESSAGE(core::UserError, "config.json: not valid JSON", ModelFolder(scratch / "m"));
}

TEST(ModelFolder, open_bad_index_names_index_and_culprit) {
  const Scratch scratch;
  const fs::path folder = scratch / "m", index = folder / "model.safetensors.index.json";
  write_tiny_folder(folder);
  const auto set_map = [&](const std::string& map) {
    write_text(index, "{\"weight_map\": " + map + "}");
  };
  set_map(R"({"a.weight": "model-00003-of-00003.safetensors"})");
  EXPECT_MESSAGE(FormatError,
                 "model.safetensors.index.json needs shard model-00003-of-00003.safetensors",
                 ModelFolder(folder));
  set_map(R"({"a.weight": "model-00001-of-00002.safetensors"})");
  EXPECT_MESSAGE(FormatError,
                 "places tensor 'a.weight' in model-00001-of-00002.safetensors, which does not",
                 ModelFolder(folder));
  set_map(R"({"ghost": "model-00001-of-00002.safetensors"})");
  EXPECT_MESSAGE(FormatError, "places tensor 'ghost'", ModelFolder(folder));
  for (const char* name : {"\"../x.safetensors\"", "\"/etc/passwd\"", "\"\"", "3", "null"}) {
    set_map(core::str("{\"a.weight\": ", name, "}"));
    EXPECT_MESSAGE(FormatError, "expected the name of a file", ModelFolder(folder));
  }
  write_text(index, "{}");
  EXPECT_MESSAGE(core::UserError, "key 'weight_map' is missing", ModelFolder(folder));
  write_tiny_folder(folder);
  fs::copy_file(folder / "model-00001-of-00002.safetensors",
                folder / "model-00002-of-00002.safetensors",
                fs::copy_options::overwrite_existing);
  EXPECT_MESSAGE(FormatError, "tensor 'embed.weight' is in two files", ModelFolder(folder));
}

TEST(ModelFolder, open_shards_without_index_reads_all_of_them) {
  const Scratch scratch;
  write_tiny_folder(scratch / "m");
  fs::remove(scratch / "m" / "model.safetensors.index.json");
  EXPECT_EQ(ModelFolder(scratch / "m").names(), testing::kTinyNames);
}

TEST(ModelFolder, write_like_without_updates_copies_every_file_byte_for_byte) {
  const Scratch scratch;
  const fs::path in = scratch / "m", out = scratch / "deep" / "out";
  write_tiny_folder(in);
  write_text(in / "pytorch_model.bin", "stale weights");
  write_text(in / "checkpoints" / "big", "a run inside its model folder");
  const ModelFolder model(in);
  const auto written = model.write_like(out, untouched);
  const std::vector<std::string> files = tree(out);
  EXPECT_EQ(files,
            (std::vector<std::string>{"additional_chat_templates/tools.jinja",
                                      "config.json",
                                      "generation_config.json",
                                      "model-00001-of-00002.safetensors",
                                      "model-00002-of-00002.safetensors",
                                      "model.safetensors.index.json",
                                      "tokenizer.json"}));
  ASSERT_EQ(written.size(), files.size());
  uint64_t total = 0;
  for (const auto& file : written) {
    const std::string bytes = read_text(out / file.file);
    EXPECT_EQ(bytes, read_text(in / file.file)) << file.file;
    EXPECT_EQ(file.bytes, bytes.size());
    EXPECT_EQ(file.sha256, core::sha256_hex(bytes));
    total += file.bytes;
  }
  EXPECT_EQ(model.bytes(), total);
  EXPECT_EQ(std::distance(fs::directory_iterator(out.parent_path()), {}), 1);  // nothing left
}

TEST(ModelFolder, write_like_changes_only_the_updated_bytes) {
  const Scratch scratch;
  write_tiny_folder(scratch / "m");
  const ModelFolder model(scratch / "m");
  // A strided f32 value for a bf16 tensor: cast and laid out as the file has it.
  const at::Tensor value = numbers({8, 8}, 5.0).to(at::kFloat).t();
  model.write_like(scratch / "out", [&](const std::string& name) {
    return name == "a.weight" ? value : at::Tensor();
  });
  const std::string shard = "model-00002-of-00002.safetensors";
  const SafetensorsFile before(scratch / "m" / shard), after(scratch / "out" / shard);
  EXPECT_EQ(after.header_text(), before.header_text());
  EXPECT_TRUE(at::equal(after.read("a.weight"), value.to(at::kBFloat16)));
  EXPECT_TRUE(at::equal(after.read("scale"), before.read("scale")));
  EXPECT_EQ(read_text(scratch / "m" / "model-00001-of-00002.safetensors"),
            read_text(scratch / "out" / "model-00001-of-00002.safetensors"));
}

TEST(ModelFolder, write_like_keeps_a_foreign_header_and_layout) {
  const Scratch scratch;
  // Keys out of order, odd spacing, misaligned data: as another writer may do it.
  const std::string bytes = testing::safetensors_bytes(
      "{ \"b\" : {\"data_offsets\":[1,9],\"shape\":[2],\"dtype\":\"F32\",\"x\":[{}]},"
      "\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]} }   ",
      "123456789");
  write_text(scratch / "m" / "model.safetensors", bytes);
  write_text(scratch / "m" / "config.json", "{}");
  const ModelFolder model(scratch / "m");
  model.write_like(scratch / "same", untouched);
  EXPECT_EQ(read_text(scratch / "same" / "model.safetensors"), bytes);
  model.write_like(scratch / "new", [](const std::string& name) {
    return name == "b" ? at::tensor({1.0f, 2.0f}) : at::Tensor();
  });
  const std::string changed = read_text(scratch / "new" / "model.safetensors");
  EXPECT_EQ(changed.substr(0, bytes.size() - 8), bytes.substr(0, bytes.size() - 8));
  EXPECT_NE(changed, bytes);
  EXPECT_TRUE(at::equal(ModelFolder(scratch / "new").read("b"), at::tensor({1.0f, 2.0f})));
}

TEST(ModelFolder, write_like_that_fails_leaves_nothing) {
  const Scratch scratch;
  write_tiny_folder(scratch / "m");
  const ModelFolder model(scratch / "m");
  EXPECT_MESSAGE(core::ContractError,
                 "'a.weight' has shape [2], expected [8, 8]",
                 model.write_like(scratch / "out", [](const std::string& name) {
                   return name == "a.weight" ? at::zeros({2}) : at::Tensor();
                 }));
  EXPECT_EQ(tree(scratch.path()), [&] {
    std::vector<std::string> files;
    for (const std::string& file : tree(scratch / "m")) files.push_back("m/" + file);
    return files;
  }());
  EXPECT_MESSAGE(core::UserError,
                 "exists already and is not an empty folder",
                 model.write_like(scratch / "m", untouched));
  fs::create_directories(scratch / "empty");
  model.write_like(fs::path((scratch / "empty").string() + "/"), untouched);
  EXPECT_TRUE(fs::exists(scratch / "empty" / "config.json"));
}

TEST(ModelFolder, write_like_after_the_input_was_removed_still_copies) {
  const Scratch scratch;
  write_tiny_folder(scratch / "m");
  const ModelFolder model(scratch / "m");
  fs::remove_all(scratch / "m");
  EXPECT_EQ(model.write_like(scratch / "out", untouched).size(), 7u);
  EXPECT_EQ(ModelFolder(scratch / "out").names(), model.names());
}

TEST(ModelFolder, read_and_write_need_little_more_memory_than_a_tensor) {
  const auto resident = [] {
    std::ifstream status("/proc/self/statm");
    uint64_t total = 0, pages = 0;
    status >> total >> pages;
    return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  };
  const Scratch scratch;
  constexpr int64_t kElements = int64_t{8} << 20;  // 32 MiB each, 4 of them
  {
    std::vector<std::pair<std::string, at::Tensor>> tensors;
    for (const char* name : {"a", "b", "c", "d"}) {
      tensors.emplace_back(name, at::ones({kElements}));
    }
    fs::create_directories(scratch / "m");
    write_safetensors(scratch / "m" / "model.safetensors", tensors);
    write_text(scratch / "m" / "config.json", "{}");
  }
  const uint64_t before = resident();
  const ModelFolder model(scratch / "m");
  uint64_t peak = 0;
  model.write_like(scratch / "out", [&](const std::string& name) {
    peak = std::max(peak, resident());
    return name == "b" ? at::zeros({kElements}) : at::Tensor();
  });
  EXPECT_LT(peak - before, uint64_t{48} << 20);
  std::vector<at::Tensor> all;
  for (const std::string& name : model.names()) all.push_back(model.read(name));
  EXPECT_LT(resident() - before, (uint64_t{128} << 20) * 12 / 10);
}

}  // namespace
}  // namespace sgrpo::checkpoint
