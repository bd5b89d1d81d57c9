#include "byte_level.h"
#include "converted_model.h"
#include "sentence_piece.h"
#include "sgrpo/core/error.h"
#include "sgrpo/tokenizer/tokenizer.h"

namespace sgrpo::tokenizer {

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
