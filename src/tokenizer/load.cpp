#include <algorithm>

#include "byte_level.h"
#include "converted_model.h"
#include "sentence_piece.h"
#include "sgrpo/core/error.h"
#include "sgrpo/tokenizer/tokenizer.h"

namespace sgrpo::tokenizer {

// An unfinished character decodes to a replacement, which may be longer than the character is.
std::vector<int64_t> Tokenizer::token_ends(const std::vector<int64_t>& ids) const {
  std::vector<int64_t> ends;
  for (size_t t = 0; t < ids.size(); ++t) {
    const auto end = static_cast<std::ptrdiff_t>(t) + 1;
    ends.push_back(static_cast<int64_t>(decode({ids.begin(), ids.begin() + end}).size()));
  }
  for (size_t t = ends.size(); t-- > 1;) ends[t - 1] = std::min(ends[t - 1], ends[t]);
  return ends;
}

std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  const auto has = [&](const char* name) { return std::filesystem::exists(folder / name); };
  if (has("tokenizer.json")) {
    if (has("tokenizer.model")) {
      if (const auto converted = read_converted_model(folder))
        return load_sentence_piece(folder, &*converted);
    }
    return std::make_shared<ByteLevelTokenizer>(read_tokenizer_json(folder));
  }
  if (has("vocab.json") && has("merges.txt")) {
    return std::make_shared<ByteLevelTokenizer>(read_vocab_and_merges(folder));
  }
  if (has("tokenizer.model")) return load_sentence_piece(folder, nullptr);
  throw core::UserError(core::str(folder.string(),
                                  ": no tokenizer, expected tokenizer.json, vocab.json and "
                                  "merges.txt, or tokenizer.model"));
}

}  // namespace sgrpo::tokenizer
