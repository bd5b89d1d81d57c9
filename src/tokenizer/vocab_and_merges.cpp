// vocab.json + merges.txt, completed as transformers' Qwen2Tokenizer and GPT2Tokenizer do.
#include <sstream>

#include "byte_level.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"
#include "vocabulary_file.h"

namespace sgrpo::tokenizer {
namespace {

constexpr uint64_t kMaxMergesBytes = uint64_t{256} << 20;

std::vector<std::pair<std::string, std::string>> read_merges(const std::filesystem::path& path) {
  std::istringstream lines(core::read_file(path, kMaxMergesBytes));
  std::vector<std::pair<std::string, std::string>> merges;
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || core::starts_with(line, "#version")) continue;
    const size_t space = line.find(' ');
    if (space == line.npos || line.find(' ', space + 1) != line.npos) {
      throw core::UserError(core::str(path.string(),
                                      ":",
                                      number,
                                      ": '",
                                      core::printable(line),
                                      "', expected two tokens with one space between"));
    }
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

// Whether the folder's tokenizer class splits as Qwen2 does (else as GPT-2).
bool splits_as_qwen(const core::Json& config, const std::string& where) {
  std::string name = core::get_string_or(config, "tokenizer_class", "Qwen2Tokenizer", where);
  if (name.size() > 4 && name.substr(name.size() - 4) == "Fast") name.resize(name.size() - 4);
  if (name == "Qwen2Tokenizer") return true;
  if (name == "GPT2Tokenizer") return false;
  throw core::UserError(core::str(where,
                                  ": tokenizer_class is '",
                                  core::printable(name),
                                  "', expected Qwen2Tokenizer or GPT2Tokenizer beside vocab.json "
                                  "and merges.txt; a tokenizer.json would say what is needed"));
}

}  // namespace

ByteLevelSpec read_vocab_and_merges(const std::filesystem::path& folder) {
  const std::filesystem::path vocab = folder / "vocab.json";
  const std::filesystem::path merges = folder / "merges.txt";
  const std::string config_where = (folder / "tokenizer_config.json").string();
  const core::Json config = read_tokenizer_config(folder);
  ByteLevelSpec spec;
  spec.bpe.vocabulary = read_vocabulary(parse_sorted_json(vocab), vocab.string());
  spec.bpe.merges = read_merges(merges);
  spec.bpe.vocabulary_where = vocab.string();
  spec.bpe.merges_where = merges.string();
  spec.added = parse_added_tokens_decoder(config, config_where);
  spec.where = spec.added.empty() ? vocab.string() : config_where;
  spec.add_prefix_space = core::get_bool_or(config, "add_prefix_space", false, config_where);
  if (splits_as_qwen(config, config_where)) {
    spec.nfc = true;
    spec.splits.emplace_back(kQwenPattern, vocab.string());
  } else {
    spec.byte_level_split.emplace_back(kGpt2Pattern, vocab.string());
  }
  return spec;
}

}  // namespace sgrpo::tokenizer
