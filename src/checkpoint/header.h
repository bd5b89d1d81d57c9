// The JSON header of a safetensors file: strict parsing and checking.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sgrpo/checkpoint/safetensors.h"

namespace sgrpo::checkpoint {

struct Header {
  std::vector<TensorEntry> entries;  // by position in the data
  std::map<std::string, std::string> metadata;
};

/// Parses `text` and checks that the tensors cover `data_bytes` bytes exactly, without holes or
/// overlaps. `where` (the file) starts every message. Throws FormatError.
Header parse_header(std::string_view text, uint64_t data_bytes, const std::string& where);

}  // namespace sgrpo::checkpoint
