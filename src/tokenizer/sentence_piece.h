// SentencePiece models (BPE and unigram), by Google's library.
#pragma once

#include <filesystem>
#include <memory>

#include "sgrpo/tokenizer/tokenizer.h"

namespace sgrpo::tokenizer {

/// tokenizer.model, with tokenizer_config.json's added tokens beside it. Throws core::UserError
/// naming the file.
std::shared_ptr<const Tokenizer> load_sentence_piece(const std::filesystem::path& folder);

}  // namespace sgrpo::tokenizer
