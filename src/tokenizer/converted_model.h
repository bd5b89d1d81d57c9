// tokenizer.json as Hugging Face's conversion of a SentencePiece model that lies beside it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "added_tokens.h"

namespace sgrpo::tokenizer {

/// What such a file says beyond tokenizer.model.
struct ConvertedModel {
  std::string where;                // the file
  std::vector<std::string> pieces;  // by id, added tokens left out or not as the converter had it
  std::vector<AddedToken> added;    // by id
};

/// Reads tokenizer.json if it is a conversion that splits text as the library does: BPE with byte
/// fallback or Unigram, "▁" before every stretch of text between added tokens (`Prepend`, or
/// `Metaspace` with prepend_scheme "always"). Nothing for every other file; newer conversions put
/// "▁" before the first stretch only, which the library cannot. Throws core::UserError naming the
/// file if it is no JSON object with a model.
std::optional<ConvertedModel> read_converted_model(const std::filesystem::path& folder);

}  // namespace sgrpo::tokenizer
