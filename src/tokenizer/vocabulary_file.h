// Reading JSON files that hold a vocabulary of 10^5 entries.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "sgrpo/core/json.h"

namespace sgrpo::tokenizer {

/// JSON whose objects find a key in logarithmic time: core::Json searches its keys one by one,
/// which makes reading a vocabulary quadratic.
using SortedJson = nlohmann::json;

/// Parses a file of at most 256 MiB; nesting and duplicate keys as core::parse_json has them.
SortedJson parse_sorted_json(const std::filesystem::path& path);

/// The (token, id) pairs of an object. Throws core::UserError naming `where`.
std::vector<std::pair<std::string, int64_t>> read_vocabulary(const SortedJson& object,
                                                             const std::string& where);

}  // namespace sgrpo::tokenizer
