#include "character_map.h"

#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "sgrpo/core/error.h"

namespace sgrpo::tokenizer {
namespace {

/// Fields of a protobuf message, one after the other.
class Fields {
 public:
  Fields(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  struct Field {
    uint64_t number = 0;
    std::string_view bytes;  // of a length-delimited field, else empty
  };

  /// Nothing at the end. Throws core::UserError where the bytes are no message.
  std::optional<Field> next() {
    if (at_ == bytes_.size()) return std::nullopt;
    const uint64_t tag = varint();
    Field field{.number = tag >> 3, .bytes = {}};
    switch (tag & 7) {
      case 0: varint(); break;
      case 1: take(8); break;
      case 2: field.bytes = take(varint()); break;
      case 5: take(4); break;
      default: fail();
    }
    return field;
  }

 private:
  [[noreturn]] void fail() const {
    throw core::UserError(core::str(
        where_, ": not a SentencePiece model: no message of its format from byte ", at_, " on"));
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
    fail();
  }

  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) fail();
    const std::string_view part = bytes_.substr(at_, count);
    at_ += count;
    return part;
  }

  std::string_view bytes_;
  const std::string& where_;
  size_t at_ = 0;
};

/// The double array: a unit holds its label, where its children stand, and whether a value is one
/// of them. Source: darts-clone's DoubleArrayUnit and commonPrefixSearch.
class Trie {
 public:
  explicit Trie(std::string_view bytes) : units_(bytes.size() / sizeof(uint32_t)) {
    if (!units_.empty()) std::memcpy(units_.data(), bytes.data(), units_.size() * sizeof(uint32_t));
  }

  /// Whether every search stays inside, and every value below `texts`.
  bool is_sound(size_t texts) const {
    if (units_.empty()) return false;
    std::vector<bool> is_known(units_.size(), false);
    std::vector<uint32_t> open = {offset(units_[0])};
    while (!open.empty()) {
      const uint32_t base = open.back();
      open.pop_back();
      // A search looks at the child of any byte before it compares labels.
      if ((base | 0xFFU) >= units_.size()) return false;
      if (is_known[base]) continue;
      is_known[base] = true;
      for (uint32_t byte = 0; byte < 256; ++byte) {
        const uint32_t unit = units_[base ^ byte];
        if (label(unit) != byte) continue;
        const uint32_t below = base ^ byte ^ offset(unit);
        if (has_value(unit) && (below >= units_.size() || value(units_[below]) >= texts))
          return false;
        open.push_back(below);
      }
    }
    return true;
  }

 private:
  static uint32_t label(uint32_t unit) { return unit & (0x80000000U | 0xFFU); }
  static bool has_value(uint32_t unit) { return (unit >> 8 & 1U) != 0; }
  static uint32_t value(uint32_t unit) { return unit & 0x7FFFFFFFU; }
  static uint32_t offset(uint32_t unit) { return unit >> 10 << ((unit & 0x200U) >> 6); }

  std::vector<uint32_t> units_;
};

/// The trie's size in 4 bytes, the trie, and texts that end with zeros.
void check_character_map(std::string_view map, const std::string& where) {
  constexpr size_t kMostBytes = size_t{4}
                                << 20;  // of all that the library's own rules need, tenfold
  uint32_t size = 0;
  bool is_sound = map.size() > sizeof(size) && map.size() <= kMostBytes;
  if (is_sound) {
    std::memcpy(&size, map.data(), sizeof(size));
    is_sound = size % sizeof(uint32_t) == 0 && size < map.size() - sizeof(size) &&
               map.back() == '\0' &&
               Trie(map.substr(sizeof(size), size)).is_sound(map.size() - sizeof(size) - size);
  }
  if (is_sound) return;
  throw core::UserError(core::str(where,
                                  ": the normaliser's table (precompiled_charsmap, ",
                                  map.size(),
                                  " bytes) is damaged; download the file again"));
}

}  // namespace

void check_character_maps(std::string_view model, const std::string& where) {
  constexpr uint64_t kNormalizer = 3, kDenormalizer = 5, kMap = 2;
  Fields fields(model, where);
  while (const auto field = fields.next()) {
    if (field->number != kNormalizer && field->number != kDenormalizer) continue;
    Fields inner(field->bytes, where);
    while (const auto part = inner.next()) {
      if (part->number == kMap && !part->bytes.empty()) check_character_map(part->bytes, where);
    }
  }
}

}  // namespace sgrpo::tokenizer
