#include "sgrpo/checkpoint/identity.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <system_error>
#include <vector>

#include "checkpoint/io.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/sha256.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kPieces = 16;
constexpr uint64_t kPieceBytes = uint64_t{64} << 10;
constexpr const char* kTokenizerConfig = "tokenizer_config.json";
constexpr const char* kTemplateKey = "chat_template";

bool has_file(const fs::path& file) {
  std::error_code error;
  return fs::exists(file, error);
}

void add(core::Sha256& hash, const std::string& text) { hash.update(text.data(), text.size()); }

void add_range(core::Sha256& hash, const InputFile& file, uint64_t offset, uint64_t bytes) {
  std::string piece(bytes, '\0');
  file.read(offset, piece.data(), bytes);
  add(hash, piece);
}

/// Names and contents of those of the files that exist.
void add_files(core::Sha256& hash,
               const fs::path& folder,
               std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (!has_file(folder / name)) continue;
    add(hash, core::str(name, "\n"));
    add(hash, core::read_file(folder / name));
  }
}

/// The header with its length, then pieces from the first byte of the data to the last.
void add_weights(core::Sha256& hash, const fs::path& path) {
  const InputFile file(path);
  uint64_t length = 0;
  if (file.size() >= sizeof length) file.read(0, &length, sizeof length);
  const uint64_t begin = std::min(file.size(), sizeof length + std::min(length, file.size()));
  add(hash, core::str(path.filename().string(), " ", file.size(), "\n"));
  for (uint64_t at = 0; at < begin; at += kChunkBytes)
    add_range(hash, file, at, std::min(kChunkBytes, begin - at));
  const uint64_t data = file.size() - begin, piece = std::min(data, kPieceBytes);
  for (uint64_t i = 0; i < kPieces; ++i)
    add_range(hash, file, begin + (data - piece) * i / (kPieces - 1), piece);
}

std::vector<fs::path> sorted_weight_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

ModelIdentity identify_model(const fs::path& folder) {
  core::Sha256 weights, tokenizer, chat_template, processor;
  add_files(weights, folder, {"config.json", "generation_config.json", "adapter_config.json"});
  for (const fs::path& file : sorted_weight_files(folder)) add_weights(weights, file);
  add_files(tokenizer,
            folder,
            {"tokenizer.json",
             "vocab.json",
             "merges.txt",
             "tokenizer.model",
             "added_tokens.json",
             "special_tokens_map.json"});
  add_files(chat_template, folder, {"chat_template.jinja", "chat_template.json"});
  if (has_file(folder / kTokenizerConfig)) {
    const std::string where = (folder / kTokenizerConfig).string();
    core::Json config = core::parse_json(core::read_file(where), where);
    if (const core::Json* text = core::find(config, kTemplateKey)) {
      add(chat_template, core::dump_ascii(*text));
      config.erase(kTemplateKey);
    }
    add(tokenizer, core::dump_ascii(config));
  }
  add_files(processor, folder, {"preprocessor_config.json", "processor_config.json"});
  return {weights.hex(), tokenizer.hex(), chat_template.hex(), processor.hex()};
}

}  // namespace sgrpo::checkpoint
