// Bounds-checked integers out of a file's bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sgrpo/core/error.h"

namespace sgrpo::image {

/// Reads integers at absolute offsets; a read past the end is a truncated file.
class Bytes {
 public:
  Bytes(std::string_view data, const std::string& where) : data_(data), where_(where) {}

  uint64_t size() const { return data_.size(); }
  const std::string& where() const { return where_; }
  std::string_view all() const { return data_; }

  uint8_t u8(uint64_t at) const {
    need(at, 1);
    return static_cast<uint8_t>(data_[at]);
  }
  uint32_t be16(uint64_t at) const { return uint32_t{u8(at)} << 8 | u8(at + 1); }
  uint32_t le16(uint64_t at) const { return uint32_t{u8(at + 1)} << 8 | u8(at); }
  uint32_t le24(uint64_t at) const { return uint32_t{u8(at + 2)} << 16 | le16(at); }
  uint32_t be32(uint64_t at) const { return be16(at) << 16 | be16(at + 2); }
  uint32_t le32(uint64_t at) const { return le16(at + 2) << 16 | le16(at); }

  /// The bytes [at, at + count).
  std::string_view slice(uint64_t at, uint64_t count) const {
    need(at, count);
    return data_.substr(at, count);
  }

  /// Throws "<where>: is truncated: ..." unless [at, at + count) lies inside the file.
  void need(uint64_t at, uint64_t count) const {
    if (at > data_.size() || count > data_.size() - at) {
      throw core::UserError(core::str(where_,
                                      ": is truncated: it ends after ",
                                      data_.size(),
                                      " bytes, its own header asks for at least ",
                                      at + count,
                                      "; copy or download the file again"));
    }
  }

  /// Throws "<where>: <what>".
  template <class... Args>
  [[noreturn]] void fail(const Args&... what) const {
    throw core::UserError(core::str(where_, ": ", what...));
  }

 private:
  std::string_view data_;
  const std::string& where_;
};

}  // namespace sgrpo::image
