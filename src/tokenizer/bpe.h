// Byte-level byte-pair encoding: bytes -> token ids by ranked merges.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sgrpo::tokenizer {

/// What a file says about a byte-level BPE model. Tokens are written in byte symbols.
struct BpeSpec {
  std::vector<std::pair<std::string, int64_t>> vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;  // by rank
  bool ignore_merges = false;  // a piece that is a token is taken whole
  std::string vocabulary_where;
  std::string merges_where;
};

/// The symbol that byte-level BPE writes for a byte (GPT-2's table), as UTF-8.
const std::string& byte_symbol(unsigned char byte);

/// The bytes of a token written in byte symbols; nothing if one of its characters is no symbol.
std::optional<std::string> symbols_to_bytes(std::string_view token);

/// A BPE model. Immutable, safe to share between threads.
class Bpe {
 public:
  /// Throws core::UserError for ids that repeat or are out of range and for merges whose parts or
  /// result are not in the vocabulary.
  explicit Bpe(const BpeSpec& spec);

  /// Appends the ids of one piece of bytes. Time n log n in the length of the piece. A byte without
  /// a symbol in the vocabulary gives nothing, as in `tokenizers`.
  void encode(std::string_view piece, std::vector<int64_t>& ids) const;

  /// The id of a token written in symbols.
  std::optional<int64_t> find(std::string_view token) const;

  /// Every (token, id).
  const std::unordered_map<std::string, int64_t>& vocabulary() const { return ids_; }

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };
  struct PairHash {
    size_t operator()(uint64_t key) const {
      key *= 0x9E3779B97F4A7C15u;
      return static_cast<size_t>(key ^ (key >> 32));
    }
  };
  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  class Word;

  void add_merge(size_t rank, const BpeSpec& spec);

  std::unordered_map<std::string, int64_t> ids_;
  std::unordered_map<uint64_t, Merge, PairHash> merges_;
  std::array<int32_t, 256> byte_ids_{};  // -1: not in the vocabulary
  bool ignore_merges_ = false;
};

}  // namespace sgrpo::tokenizer
