// Scalars of YAML 1.2's core schema: reading and writing one value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sgrpo/core/json.h"

namespace sgrpo::config {

/// Whether plain text means null: "", ~, null, Null, NULL.
bool is_null_text(std::string_view text);
/// true, True, TRUE, false, False, FALSE; nothing else.
std::optional<bool> read_bool(std::string_view text);
/// Decimal, 0o and 0x integers that fit 64 bits.
std::optional<int64_t> read_int(std::string_view text);
/// Integers and decimal fractions, .inf and .nan with signs.
std::optional<double> read_double(std::string_view text);

/// The shortest text that reads back as the same number; .inf and .nan as YAML writes them.
std::string write_double(double value);
/// Plain text where that reads back as the same string in any place, else in double quotes.
std::string write_string(std::string_view text);
/// One line of flow YAML.
std::string write_json(const core::Json& value);

}  // namespace sgrpo::config
