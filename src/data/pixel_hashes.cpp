#include "data/pixel_hashes.h"

#include "sgrpo/core/error.h"

namespace sgrpo::data {

bool PixelHashes::differs(Row row, const std::string& hash) const {
  const auto known = hashes_.find(row);
  return known != hashes_.end() && known->second != hash;
}

void PixelHashes::note(Row row, const std::string& hash) {
  if (!hash.empty()) hashes_.emplace(row, hash);
}

core::Json PixelHashes::to_json() const {
  core::Json list = core::Json::array();
  for (const auto& [row, hash] : hashes_) list.push_back({row.first, row.second, hash});
  return list;
}

PixelHashes PixelHashes::from_json(const core::Json& list) {
  PixelHashes result;
  for (const core::Json& entry : list) {
    const bool is_sound = entry.is_array() && entry.size() == 3 && entry[0].is_number_unsigned() &&
                          entry[1].is_number_unsigned() && entry[2].is_string();
    if (!is_sound)
      throw core::UserError("a pixel hash is '" + core::dump_ascii(entry) +
                            "', expected [list, row, hash]");
    result.note({entry[0].get<size_t>(), entry[1].get<int64_t>()}, entry[2].get<std::string>());
  }
  return result;
}

}  // namespace sgrpo::data
