// SentencePiece models (BPE and unigram), by Google's library.
#pragma once

#include <filesystem>
#include <memory>

#include "converted_model.h"
#include "sgrpo/tokenizer/tokenizer.h"

namespace sgrpo::tokenizer {

/// tokenizer.model, with the added tokens of tokenizer_config.json and of `converted`, which may be
/// null, beside it. Throws core::UserError naming the file, also where `converted` is of another
/// model.
std::shared_ptr<const Tokenizer> load_sentence_piece(const std::filesystem::path& folder,
                                                     const ConvertedModel* converted);

}  // namespace sgrpo::tokenizer
