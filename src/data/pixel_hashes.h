// What the pictures of a run's rows held when they were first read.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "sgrpo/core/json.h"

namespace sgrpo::data {

/// One hash a row that was read, of all its pictures as they were encoded.
class PixelHashes {
 public:
  using Row = std::pair<size_t, int64_t>;  // list and row

  /// Whether a row read once more holds other pixels than the first time.
  bool differs(Row row, const std::string& hash) const;
  /// Keeps a hash unless the row has one; empty: the row has no picture.
  void note(Row row, const std::string& hash);
  /// [[list, row, hash], ...] in order.
  core::Json to_json() const;
  /// Throws core::UserError for anything else.
  static PixelHashes from_json(const core::Json& list);

 private:
  std::map<Row, std::string> hashes_;
};

}  // namespace sgrpo::data
