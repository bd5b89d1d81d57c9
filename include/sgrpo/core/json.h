// nlohmann/json behind depth-capped parsing and range-checked accessors whose errors name the
// place.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sgrpo/core/error.h"

namespace sgrpo::core {

/// Object keys keep their order: exported files must keep the input's.
using Json = nlohmann::ordered_json;

/// What parse_json makes of a number that a 64-bit integer or a double would not write back as it
/// stands (`0.10`, 2^100).
enum class Numbers {
  kStrict,  // the nearest double; what is no JSON, or beyond every double, is refused
  kValues,  // the nearest double
  kText     // its text is kept, so that no digit of a data row is lost: see number_text
};

/// Parses UTF-8 JSON; nesting is capped at 64, duplicate keys and trailing text are refused. NaN,
/// Infinity, -Infinity (Python's json writes them) and numbers beyond every double are kept as text
/// unless kStrict: only who reads such a value refuses it. Throws UserError: "<where>: ..." with
/// the byte offset.
Json parse_json(std::string_view text,
                const std::string& where,
                Numbers numbers = Numbers::kValues);

/// The text of a number, as its file has it where parse_json kept it; nothing for other values.
std::optional<std::string> number_text(const Json& value);

/// The value of a number, NaN and infinities included; nothing for other values.
std::optional<double> number_value(const Json& value);

/// One line of ASCII: every non-ASCII character escaped, kept numbers as their text (NaN and
/// infinities, which are no JSON, as null). Throws nothing on invalid UTF-8 (replaced by U+FFFD).
std::string dump_ascii(const Json& value);

/// Typed member access. `where` names the file (and line) in the message.
/// Throws UserError "<where>: key 'x' is missing" / "is a string, expected an integer" / "... is 7,
/// expected 1..4".
int64_t get_int(const Json& object,
                const std::string& key,
                const std::string& where,
                int64_t low = std::numeric_limits<int64_t>::min(),
                int64_t high = std::numeric_limits<int64_t>::max());
int64_t get_int_or(const Json& object,
                   const std::string& key,
                   int64_t fallback,
                   const std::string& where,
                   int64_t low = std::numeric_limits<int64_t>::min(),
                   int64_t high = std::numeric_limits<int64_t>::max());
double get_double(const Json& object, const std::string& key, const std::string& where);
double get_double_or(const Json& object,
                     const std::string& key,
                     double fallback,
                     const std::string& where);
bool get_bool_or(const Json& object,
                 const std::string& key,
                 bool fallback,
                 const std::string& where);
std::string get_string(const Json& object, const std::string& key, const std::string& where);
std::string get_string_or(const Json& object,
                          const std::string& key,
                          const std::string& fallback,
                          const std::string& where);
std::vector<int64_t> get_int_list(const Json& object,
                                  const std::string& key,
                                  const std::string& where);
/// The member if present and not null, else nullptr.
const Json* find(const Json& object, const std::string& key);
/// The member, which must be an object.
const Json& get_object(const Json& object, const std::string& key, const std::string& where);

}  // namespace sgrpo::core
