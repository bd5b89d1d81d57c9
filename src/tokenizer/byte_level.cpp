#include "byte_level.h"

#include "sgrpo/core/text.h"
#include "unicode.h"

namespace sgrpo::tokenizer {

ByteLevelTokenizer::ByteLevelTokenizer(ByteLevelSpec spec)
    : spec_(std::move(spec)), bpe_(spec_.bpe) {
  spec_.bpe = {};
  index_added_tokens();
  index_bytes();
}

void ByteLevelTokenizer::index_added_tokens() {
  std::vector<AddedToken> plain;
  std::vector<AddedToken> normalized;
  for (AddedToken token : spec_.added) {
    const auto in_model = bpe_.find(token.content);
    if (in_model && *in_model != token.id) {
      throw core::UserError(core::str(spec_.where,
                                      ": added token '",
                                      core::printable(token.content),
                                      "' has id ",
                                      token.id,
                                      ", but id ",
                                      *in_model,
                                      " in the vocabulary"));
    }
    if (!added_ids_.emplace(token.content, token.id).second) {
      throw core::UserError(core::str(
          spec_.where, ": added token '", core::printable(token.content), "' appears twice"));
    }
    if (token.normalized && spec_.nfc) token.content = to_nfc(token.content);
    (token.normalized ? normalized : plain).push_back(std::move(token));
  }
  before_nfc_ = AddedTokenMatcher(plain);
  after_nfc_ = AddedTokenMatcher(normalized);
}

void ByteLevelTokenizer::index_bytes() {
  std::unordered_map<int64_t, const std::string*> tokens;
  for (const auto& [token, id] : bpe_.vocabulary()) tokens.emplace(id, &token);
  for (const auto& [token, id] : added_ids_) {
    const auto [place, fresh] = tokens.emplace(id, &token);
    if (!fresh && *place->second != token) {
      throw core::UserError(core::str(spec_.where,
                                      ": added token '",
                                      core::printable(token),
                                      "' has id ",
                                      id,
                                      ", which is token '",
                                      core::printable(*place->second),
                                      "'"));
    }
  }
  bytes_.resize(tokens.size());
  special_.resize(tokens.size(), false);
  for (size_t id = 0; id < tokens.size(); ++id) {
    const auto found = tokens.find(static_cast<int64_t>(id));
    if (found == tokens.end()) {
      throw core::UserError(core::str(spec_.where,
                                      ": no token has id ",
                                      id,
                                      ", expected ids 0..",
                                      tokens.size() - 1,
                                      " for ",
                                      tokens.size(),
                                      " tokens"));
    }
    // `tokenizers` decodes an added token as the model's own: by byte symbols where it can.
    bytes_[id] = symbols_to_bytes(*found->second).value_or(*found->second);
  }
  for (const AddedToken& token : spec_.added)
    special_[static_cast<size_t>(token.id)] = token.special;
}

std::vector<int64_t> ByteLevelTokenizer::encode(std::string_view text) const {
  std::vector<int64_t> ids;
  std::string repaired;
  if (!core::is_valid_utf8(text)) {
    repaired = core::to_valid_utf8(text);
    text = repaired;
  }
  for (const Segment& segment : before_nfc_.split(text)) {
    if (segment.id >= 0) {
      ids.push_back(segment.id);
    } else {
      encode_raw(segment.text, ids);
    }
  }
  return ids;
}

void ByteLevelTokenizer::encode_raw(std::string_view text, std::vector<int64_t>& ids) const {
  const std::string composed = spec_.nfc ? to_nfc(text) : std::string(text);
  for (const Segment& segment : after_nfc_.split(composed)) {
    if (segment.id >= 0) {
      ids.push_back(segment.id);
    } else {
      encode_words(segment.text, 0, ids);
    }
  }
}

void ByteLevelTokenizer::encode_words(std::string_view text,
                                      size_t stage,
                                      std::vector<int64_t>& ids) const {
  if (stage == spec_.splits.size()) return encode_byte_level(text, ids);
  for (const std::string_view piece : spec_.splits[stage].split(text)) {
    encode_words(piece, stage + 1, ids);
  }
}

void ByteLevelTokenizer::encode_byte_level(std::string_view piece,
                                           std::vector<int64_t>& ids) const {
  std::string prefixed;
  if (spec_.add_prefix_space && !core::starts_with(piece, " ")) {
    prefixed = core::str(' ', piece);
    piece = prefixed;
  }
  if (spec_.byte_level_split.empty()) return bpe_.encode(piece, ids);
  for (const std::string_view word : spec_.byte_level_split.front().split(piece)) {
    bpe_.encode(word, ids);
  }
}

std::string ByteLevelTokenizer::decode(const std::vector<int64_t>& ids, bool skip_special) const {
  std::string bytes;
  for (const int64_t id : ids) {
    if (id < 0 || id >= size() || (skip_special && is_special(id))) continue;
    bytes += bytes_[static_cast<size_t>(id)];
  }
  return core::is_valid_utf8(bytes) ? bytes : core::to_valid_utf8(bytes);
}

/// The bytes of the tokens one after the other, where they are text as they stand.
std::vector<int64_t> ByteLevelTokenizer::token_ends(const std::vector<int64_t>& ids) const {
  std::string bytes;
  std::vector<int64_t> ends;
  for (const int64_t id : ids) {
    if (id >= 0 && id < size()) bytes += bytes_[static_cast<size_t>(id)];
    ends.push_back(static_cast<int64_t>(bytes.size()));
  }
  return core::is_valid_utf8(bytes) ? ends : Tokenizer::token_ends(ids);
}

std::optional<int64_t> ByteLevelTokenizer::token_id(std::string_view token) const {
  const auto added = added_ids_.find(std::string(token));
  return added != added_ids_.end() ? std::optional<int64_t>(added->second) : bpe_.find(token);
}

bool ByteLevelTokenizer::is_special(int64_t id) const {
  return id >= 0 && id < size() && special_[static_cast<size_t>(id)];
}

}  // namespace sgrpo::tokenizer
