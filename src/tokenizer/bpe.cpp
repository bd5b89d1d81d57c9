#include "bpe.h"

#include <algorithm>
#include <queue>
#include <unordered_set>

#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"
#include "unicode.h"

namespace sgrpo::tokenizer {
namespace {

constexpr int64_t kMaxId = 1 << 24;

// Printable Latin-1 stands for itself; the other 68 bytes take U+0100, U+0101, ... in order.
struct ByteTable {
  std::array<std::string, 256> symbols;
  std::array<int, 0x144> bytes;  // by code point; -1: no symbol

  ByteTable() {
    bytes.fill(-1);
    int next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool plain =
          (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      const int point = plain ? byte : next++;
      std::string& symbol = symbols[static_cast<size_t>(byte)];
      if (point < 0x80) {
        symbol = {static_cast<char>(point)};
      } else {
        symbol = {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 0x3F))};
      }
      bytes[static_cast<size_t>(point)] = byte;
    }
  }
};

const ByteTable& table() {
  static const ByteTable kTable;
  return kTable;
}

}  // namespace

const std::string& byte_symbol(unsigned char byte) { return table().symbols[byte]; }

std::optional<std::string> symbols_to_bytes(std::string_view token) {
  std::string bytes;
  while (!token.empty()) {
    size_t size = 0;
    const auto point = static_cast<size_t>(first_point(token, size));
    if (point >= table().bytes.size() || table().bytes[point] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(table().bytes[point]));
    token.remove_prefix(size);
  }
  return bytes;
}

Bpe::Bpe(const BpeSpec& spec) : ignore_merges_(spec.ignore_merges) {
  std::unordered_set<int64_t> seen;
  ids_.reserve(spec.vocabulary.size());
  seen.reserve(spec.vocabulary.size());
  for (const auto& [token, id] : spec.vocabulary) {
    const auto where = [&] {
      return core::str(spec.vocabulary_where, ": token '", core::printable(token), "'");
    };
    if (id < 0 || id > kMaxId) {
      throw core::UserError(core::str(where(), " has id ", id, ", expected 0..", kMaxId));
    }
    if (!seen.insert(id).second) {
      throw core::UserError(core::str(where(), " has id ", id, ", which another token has too"));
    }
    if (!ids_.emplace(token, id).second) {
      throw core::UserError(core::str(where(), " appears twice"));
    }
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    const auto id = find(byte_symbol(static_cast<unsigned char>(byte)));
    byte_ids_[byte] = id ? static_cast<int32_t>(*id) : -1;
  }
  merges_.reserve(spec.merges.size());
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) add_merge(rank, spec);
}

void Bpe::add_merge(size_t rank, const BpeSpec& spec) {
  const auto& [left, right] = spec.merges[rank];
  const auto known = [&](const std::string& token) {
    const auto id = find(token);
    if (id) return static_cast<int32_t>(*id);
    throw core::UserError(core::str(spec.merges_where,
                                    ": merge ",
                                    rank,
                                    " ('",
                                    core::printable(left),
                                    "' '",
                                    core::printable(right),
                                    "') needs token '",
                                    core::printable(token),
                                    "', which is not in the vocabulary"));
  };
  const int32_t left_id = known(left);
  const int32_t right_id = known(right);
  merges_.insert_or_assign(key(left_id, right_id),
                           Merge{static_cast<int32_t>(rank), known(left + right)});
}

std::optional<int64_t> Bpe::find(std::string_view token) const {
  const auto found = ids_.find(std::string(token));
  return found == ids_.end() ? std::nullopt : std::optional<int64_t>(found->second);
}

// A piece while it is merged: a doubly linked list of symbols and a heap of the merges that were
// possible when they were pushed.
class Bpe::Word {
 public:
  explicit Word(const Bpe& bpe) : bpe_(bpe) {}

  void load(std::string_view piece) {
    symbols_.clear();
    for (const char c : piece) {
      const int32_t id = bpe_.byte_ids_[static_cast<unsigned char>(c)];
      if (id < 0) continue;
      const auto at = static_cast<int32_t>(symbols_.size());
      symbols_.push_back({id, at - 1, at + 1});
    }
    if (!symbols_.empty()) symbols_.back().next = kNone;
    std::vector<Candidate> initial;
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) push(static_cast<int32_t>(i), initial);
    heap_ = std::priority_queue<Candidate>({}, std::move(initial));
  }

  void merge() {
    std::vector<Candidate> fresh;
    while (!heap_.empty()) {
      const Candidate best = heap_.top();
      heap_.pop();
      Symbol& left = symbols_[static_cast<size_t>(best.at)];
      if (left.id != best.left || left.next == kNone) continue;
      Symbol& right = symbols_[static_cast<size_t>(left.next)];
      if (right.id != best.right) continue;
      left.id = best.merged;
      right.id = kGone;
      left.next = right.next;
      if (left.next != kNone) symbols_[static_cast<size_t>(left.next)].previous = best.at;
      fresh.clear();
      if (left.previous != kNone) push(left.previous, fresh);
      if (left.next != kNone) push(best.at, fresh);
      for (const Candidate& candidate : fresh) heap_.push(candidate);
    }
  }

  void append_to(std::vector<int64_t>& ids) const {
    for (const Symbol& symbol : symbols_) {
      if (symbol.id != kGone) ids.push_back(symbol.id);
    }
  }

 private:
  static constexpr int32_t kNone = -1;
  static constexpr int32_t kGone = -1;  // merged into its left neighbour

  struct Symbol {
    int32_t id;
    int32_t previous;
    int32_t next;
  };
  struct Candidate {
    int32_t rank;
    int32_t at;
    int32_t left;
    int32_t right;
    int32_t merged;
    // std::priority_queue pops the largest: the smallest rank, then the leftmost place.
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };

  void push(int32_t at, std::vector<Candidate>& out) const {
    const Symbol& left = symbols_[static_cast<size_t>(at)];
    const int32_t right = symbols_[static_cast<size_t>(left.next)].id;
    const auto found = bpe_.merges_.find(key(left.id, right));
    if (found != bpe_.merges_.end()) {
      out.push_back({found->second.rank, at, left.id, right, found->second.id});
    }
  }

  const Bpe& bpe_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate> heap_;
};

void Bpe::encode(std::string_view piece, std::vector<int64_t>& ids) const {
  if (ignore_merges_) {
    std::string token;
    for (const char c : piece) token += byte_symbol(static_cast<unsigned char>(c));
    if (const auto id = find(token)) {
      ids.push_back(*id);
      return;
    }
  }
  if (piece.size() == 1) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(piece[0])];
    if (id >= 0) ids.push_back(id);
    return;
  }
  Word word(*this);
  word.load(piece);
  word.merge();
  word.append_to(ids);
}

}  // namespace sgrpo::tokenizer
