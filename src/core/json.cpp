#include "sgrpo/core/json.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include "sgrpo/core/text.h"

namespace sgrpo::core {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr std::uint64_t kNumberText = 'N';  // subtype of the binary values that hold kept numbers

Json kept_number(const std::string& text) {
  return Json::binary({text.begin(), text.end()}, kNumberText);
}

std::optional<std::string> kept_text(const Json& value) {
  if (!value.is_binary() || value.get_binary().subtype() != kNumberText) return std::nullopt;
  return std::string(value.get_binary().begin(), value.get_binary().end());
}

double value_of(const std::string& text) { return std::strtod(text.c_str(), nullptr); }
bool is_finite(const std::string& text) { return std::isfinite(value_of(text)); }
/// NaN and the infinities, which are no JSON; 1e999 is.
bool is_named(const std::string& text) { return text.find_first_of("NI") != text.npos; }

std::string kind(const Json& value) {
  if (const auto text = kept_text(value)) return is_named(*text) ? *text : "a number";
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
  } else if (const auto number = number_value(value); !number) {
    wrong_type(where, key, value, "an integer");
  } else if (*number == std::floor(*number) && std::abs(*number) < 9.0e15) {
    result = static_cast<int64_t>(*number);  // "28.0": some writers print integers so
  } else {
    const std::string text = *number_text(value);
    const bool is_long = text.find_first_not_of("-0123456789") == text.npos;
    throw UserError(str(where,
                        ": '",
                        key,
                        "' is ",
                        text.substr(0, 60),
                        is_long ? ", which does not fit 64 bits" : ", expected an integer"));
  }
  if (result < low || result > high) {
    throw UserError(str(where, ": '", key, "' is ", result, ", expected ", low, "..", high));
  }
  return result;
}

/// Texts of numbers by their place among all numbers of a JSON text.
using NumberTexts = std::map<size_t, std::string>;

/// The length of the number that `text` begins with, Python's three included; 0 if it is none.
size_t number_size(std::string_view text) {
  const auto is_letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; };
  for (const std::string_view name : {"NaN", "Infinity", "-Infinity"}) {
    if (!starts_with(text, name)) continue;
    return text.size() > name.size() && is_letter(text[name.size()]) ? 0 : name.size();
  }
  if (text[0] != '-' && std::isdigit(static_cast<unsigned char>(text[0])) == 0) return 0;
  return std::min(text.find_first_not_of("+-.0123456789eE"), text.size());
}

/// Whether a double may be too small for it: a look at the text that spares most numbers a
/// conversion.
bool may_overflow(std::string_view number) {
  constexpr size_t kDigitsOfAnyDouble = 300;
  return number.size() > kDigitsOfAnyDouble || number.find_first_of("eENI") != number.npos;
}

/// The numbers that no parser of strict JSON takes. `finite` receives the text with zeros of the
/// same length in their place, so that places in messages stay true.
NumberTexts take_non_finite(std::string_view text, std::string& finite) {
  NumberTexts found;
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '"') {
      for (++at; at < text.size() && text[at] != '"'; ++at) at += text[at] == '\\' ? 1 : 0;
      ++at;
      continue;
    }
    const size_t size = number_size(text.substr(at));
    const std::string token(text.substr(at, may_overflow(text.substr(at, size)) ? size : 0));
    if (!token.empty() && !is_finite(token)) {
      if (found.empty()) finite = text;
      finite.replace(at, size, "0." + std::string(size - 2, '0'));
      found.emplace(number, token);
    }
    number += size > 0 ? 1 : 0;
    at += std::max<size_t>(size, 1);
  }
  return found;
}

/// Builds the tree from the parser's events.
class TreeBuilder : public nlohmann::json_sax<Json> {
 public:
  TreeBuilder(const std::string& where, Numbers numbers, const NumberTexts& beyond)
      : where_(where), numbers_(numbers), beyond_(beyond) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& value) override { return add(std::move(value)); }
  bool number_integer(number_integer_t value) override { return add_number(value, ""); }
  bool number_unsigned(number_unsigned_t value) override { return add_number(value, ""); }
  bool number_float(number_float_t value, const string_t& text) override {
    return add_number(value, text);
  }
  bool start_object(size_t) override {
    keys_.emplace_back();
    return open(Json::object());
  }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override {
    keys_.pop_back();
    return end_array();
  }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second)
      throw UserError(str(where_, ": key '", name, "' appears twice in one object"));
    key_ = std::move(name);
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at ...: ..."
    std::string reason = error.what();
    if (const size_t bracket = reason.find("] "); bracket != std::string::npos)
      reason.erase(0, bracket + 2);
    throw UserError(str(where_, ": not valid JSON: ", reason));
  }

 private:
  bool add_number(Json value, const std::string& text) {
    const auto beyond = beyond_.find(num_numbers_++);
    if (beyond != beyond_.end()) return add(kept_number(beyond->second));
    const bool is_exact = text.empty() || numbers_ != Numbers::kText || value.dump() == text;
    return add(is_exact ? std::move(value) : kept_number(text));
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (open_.size() > kMaxDepth)
      throw UserError(str(where_, ": JSON is nested deeper than ", kMaxDepth, " levels"));
    open_.push_back(&place(std::move(value)));
    return true;
  }
  /// Keys are known to be unique: appending spares the search of ordered_json's own insertion.
  Json& place(Json value) {
    if (open_.empty()) return root_ = std::move(value);
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return open_.back()->back();
    }
    auto& members = open_.back()->get_ref<Json::object_t&>();
    members.Container::emplace_back(std::move(key_), std::move(value));
    return members.back().second;
  }

  const std::string& where_;
  Numbers numbers_;
  const NumberTexts& beyond_;
  Json root_;
  std::vector<Json*> open_;  // a container moves only while none inside it is open
  std::vector<std::set<std::string>> keys_;
  std::string key_;
  size_t num_numbers_ = 0;
};

bool holds_kept_number(const Json& value) {
  if (!value.is_structured()) return kept_text(value).has_value();
  return std::any_of(value.begin(), value.end(), holds_kept_number);
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where, Numbers numbers) {
  if (text.find_first_not_of(" \t\r\n") == text.npos)
    throw UserError(str(where, " is empty (", text.size(), " bytes), expected JSON"));
  std::string finite;
  const NumberTexts beyond =
      numbers == Numbers::kStrict ? NumberTexts{} : take_non_finite(text, finite);
  if (!beyond.empty()) text = finite;
  TreeBuilder builder(where, numbers, beyond);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

std::optional<std::string> number_text(const Json& value) {
  return value.is_number() ? value.dump() : kept_text(value);
}

std::optional<double> number_value(const Json& value) {
  if (value.is_number()) return value.get<double>();
  const auto text = kept_text(value);
  return text ? std::optional(value_of(*text)) : std::nullopt;
}

std::string dump_ascii(const Json& value) {
  if (const auto text = kept_text(value)) return is_named(*text) ? "null" : *text;
  if (!holds_kept_number(value)) return value.dump(-1, ' ', true, Json::error_handler_t::replace);
  std::string result(1, value.is_object() ? '{' : '[');
  for (const auto& [key, member] : value.items()) {
    if (result.size() > 1) result += ',';
    if (value.is_object()) result += dump_ascii(Json(key)) + ":";
    result += dump_ascii(member);
  }
  return result + (value.is_object() ? '}' : ']');
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
  const auto number = number_value(value);
  if (!number) wrong_type(where, key, value, "a number");
  if (!std::isfinite(*number))
    throw UserError(
        str(where, ": '", key, "' is ", number_text(value)->substr(0, 60), ", expected a number"));
  return *number;
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
