#include "sgrpo/core/json.h"

#include <cmath>
#include <set>

namespace sgrpo::core {
namespace {

constexpr int kMaxDepth = 64;

std::string kind(const Json& value) {
  if (value.is_number_integer()) return "an integer";
  if (value.is_null()) return "null";
  return str(value.is_structured() ? "an " : "a ", value.type_name());
}

const Json& member(const Json& object, const std::string& key, const std::string& where) {
  if (!object.is_object())
    throw UserError(str(where, ": expected an object with key '", key, "', got ", kind(object)));
  const auto found = object.find(key);
  if (found == object.end()) throw UserError(str(where, ": key '", key, "' is missing"));
  return *found;
}

[[noreturn]] void wrong_type(const std::string& where,
                             const std::string& key,
                             const Json& value,
                             std::string_view expected) {
  throw UserError(str(where, ": '", key, "' is ", kind(value), ", expected ", expected));
}

int64_t as_int(const Json& value,
               const std::string& key,
               const std::string& where,
               int64_t low,
               int64_t high) {
  int64_t result = 0;
  if (value.is_number_unsigned()) {
    const auto wide = value.get<uint64_t>();
    if (wide > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      throw UserError(str(where, ": '", key, "' is ", wide, ", which does not fit 64 bits"));
    }
    result = static_cast<int64_t>(wide);
  } else if (value.is_number_integer()) {
    result = value.get<int64_t>();
  } else if (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()) &&
             std::abs(value.get<double>()) < 9.0e15) {
    result = static_cast<int64_t>(value.get<double>());  // "28.0": some writers print integers so
  } else if (value.is_number()) {
    throw UserError(str(where, ": '", key, "' is ", value, ", expected an integer"));
  } else {
    wrong_type(where, key, value, "an integer");
  }
  if (result < low || result > high) {
    throw UserError(str(where, ": '", key, "' is ", result, ", expected ", low, "..", high));
  }
  return result;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  if (text.find_first_not_of(" \t\r\n") == text.npos)
    throw UserError(str(where, " is empty (", text.size(), " bytes), expected JSON"));
  std::vector<std::set<std::string>> keys;
  const Json::parser_callback_t guard = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth)
      throw UserError(str(where, ": JSON is nested deeper than ", kMaxDepth, " levels"));
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key &&
        !keys.back().insert(parsed.get<std::string>()).second) {
      throw UserError(
          str(where, ": key '", parsed.get<std::string>(), "' appears twice in one object"));
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), guard);
  } catch (const Json::exception& error) {  // parse_error, or out_of_range for 1e999
    std::string reason =
        error.what();  // "[json.exception.parse_error.101] parse error at ...: ..."
    if (const size_t bracket = reason.find("] "); bracket != std::string::npos)
      reason.erase(0, bracket + 2);
    throw UserError(str(where, ": not valid JSON: ", reason));
  }
}

std::string dump_ascii(const Json& value) {
  return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

int64_t get_int(const Json& object,
                const std::string& key,
                const std::string& where,
                int64_t low,
                int64_t high) {
  return as_int(member(object, key, where), key, where, low, high);
}

int64_t get_int_or(const Json& object,
                   const std::string& key,
                   int64_t fallback,
                   const std::string& where,
                   int64_t low,
                   int64_t high) {
  const Json* value = find(object, key);
  return value == nullptr ? fallback : as_int(*value, key, where, low, high);
}

double get_double(const Json& object, const std::string& key, const std::string& where) {
  const Json& value = member(object, key, where);
  if (!value.is_number()) wrong_type(where, key, value, "a number");
  return value.get<double>();
}

double get_double_or(const Json& object,
                     const std::string& key,
                     double fallback,
                     const std::string& where) {
  return find(object, key) == nullptr ? fallback : get_double(object, key, where);
}

bool get_bool_or(const Json& object,
                 const std::string& key,
                 bool fallback,
                 const std::string& where) {
  const Json* value = find(object, key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) wrong_type(where, key, *value, "true or false");
  return value->get<bool>();
}

std::string get_string(const Json& object, const std::string& key, const std::string& where) {
  const Json& value = member(object, key, where);
  if (!value.is_string()) wrong_type(where, key, value, "a string");
  return value.get<std::string>();
}

std::string get_string_or(const Json& object,
                          const std::string& key,
                          const std::string& fallback,
                          const std::string& where) {
  return find(object, key) == nullptr ? fallback : get_string(object, key, where);
}

std::vector<int64_t> get_int_list(const Json& object,
                                  const std::string& key,
                                  const std::string& where) {
  const Json& value = member(object, key, where);
  if (!value.is_array()) wrong_type(where, key, value, "a list of integers");
  std::vector<int64_t> result;
  for (const Json& item : value) {
    result.push_back(as_int(item,
                            key,
                            where,
                            std::numeric_limits<int64_t>::min(),
                            std::numeric_limits<int64_t>::max()));
  }
  return result;
}

const Json* find(const Json& object, const std::string& key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const Json& get_object(const Json& object, const std::string& key, const std::string& where) {
  const Json& value = member(object, key, where);
  if (!value.is_object()) wrong_type(where, key, value, "an object");
  return value;
}

}  // namespace sgrpo::core
