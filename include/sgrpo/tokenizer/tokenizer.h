// Text <-> token ids, as Hugging Face's tokenizers do it for the same folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sgrpo::tokenizer {

/// A tokenizer loaded from a folder. Immutable after loading, safe to share between threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Token ids of `text`. Special and added tokens inside the text become their ids; no BOS or EOS
  /// is added (transformers with add_special_tokens=False): a chat template writes what it wants.
  /// Ill-formed UTF-8 becomes U+FFFD.
  virtual std::vector<int64_t> encode(std::string_view text) const = 0;

  /// The text of `ids`; special tokens are kept unless `skip_special`. Ids outside 0..size()-1
  /// decode to nothing.
  virtual std::string decode(const std::vector<int64_t>& ids, bool skip_special = false) const = 0;

  /// Bytes of decode(ids) up to the end of each token: never falling, the last is its size. Of a
  /// character that several tokens make up, all but the last may end inside or before it.
  virtual std::vector<int64_t> token_ends(const std::vector<int64_t>& ids) const;

  /// Number of ids, added tokens included: transformers' len(tokenizer).
  virtual int64_t size() const = 0;

  /// The id of an exact token string ("<|im_end|>"), or nothing.
  virtual std::optional<int64_t> token_id(std::string_view token) const = 0;

  /// Whether the id is a special token.
  virtual bool is_special(int64_t id) const = 0;
};

/// Loads `tokenizer.json`, else `vocab.json` + `merges.txt`, else `tokenizer.model`.
/// Throws core::UserError naming the file, the key and what was expected; UserError if no tokenizer
/// file is there.
std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& folder);

}  // namespace sgrpo::tokenizer
