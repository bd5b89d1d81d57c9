// Byte-level BPE tokenizers: added tokens -> NFC -> split into words -> BPE.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "added_tokens.h"
#include "bpe.h"
#include "sgrpo/tokenizer/tokenizer.h"
#include "split_pattern.h"

namespace sgrpo::tokenizer {

/// Everything a byte-level tokenizer's files say.
struct ByteLevelSpec {
  BpeSpec bpe;
  std::vector<AddedToken> added;
  bool nfc = false;
  std::vector<SplitPattern> splits;  // applied in order, each to the pieces of the one before
  bool add_prefix_space = false;     // a piece that starts without ' ' gets one before ByteLevel
  std::vector<SplitPattern> byte_level_split;  // ByteLevel's own expression, or none
  std::string where;                           // the file that lists the added tokens
};

/// tokenizer.json, with tokenizer_config.json's added tokens beside it.
ByteLevelSpec read_tokenizer_json(const std::filesystem::path& folder);

/// vocab.json + merges.txt, with tokenizer_config.json's added tokens beside them.
ByteLevelSpec read_vocab_and_merges(const std::filesystem::path& folder);

/// tokenizer_config.json, or an empty object; without added tokens it gets those of
/// added_tokens.json.
core::Json read_tokenizer_config(const std::filesystem::path& folder);

/// A tokenizer of a byte-level BPE model.
class ByteLevelTokenizer : public Tokenizer {
 public:
  /// Throws core::UserError for ids with gaps or added tokens whose ids contradict the vocabulary.
  explicit ByteLevelTokenizer(ByteLevelSpec spec);

  std::vector<int64_t> encode(std::string_view text) const override;
  std::string decode(const std::vector<int64_t>& ids, bool skip_special) const override;
  std::vector<int64_t> token_ends(const std::vector<int64_t>& ids) const override;
  int64_t size() const override { return static_cast<int64_t>(bytes_.size()); }
  std::optional<int64_t> token_id(std::string_view token) const override;
  bool is_special(int64_t id) const override;

 private:
  void index_added_tokens();
  void index_bytes();
  void encode_raw(std::string_view text, std::vector<int64_t>& ids) const;
  void encode_words(std::string_view text, size_t stage, std::vector<int64_t>& ids) const;
  void encode_byte_level(std::string_view piece, std::vector<int64_t>& ids) const;

  ByteLevelSpec spec_;
  Bpe bpe_;
  AddedTokenMatcher before_nfc_;
  AddedTokenMatcher after_nfc_;
  std::unordered_map<std::string, int64_t> added_ids_;
  std::vector<std::string> bytes_;  // what each id decodes to
  std::vector<bool> special_;
};

}  // namespace sgrpo::tokenizer
