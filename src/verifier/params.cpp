#include "verifier/params.h"

#include <algorithm>
#include <cmath>

#include "sgrpo/core/text.h"

namespace sgrpo::verifier {
namespace {

template <class T>
std::string range_text(T low, T high, bool has_low, bool has_high) {
  if (has_low && has_high) return core::str(low, "..", high);
  if (has_low) return core::str(">= ", low);
  return has_high ? core::str("<= ", high) : "a finite number";
}

}  // namespace

void refuse(const std::string& path, const core::Json& value, const std::string& expected) {
  throw core::UserError(
      core::str(path, " is ", core::printable(core::dump_ascii(value)), ", expected ", expected));
}

std::vector<std::string> string_list(const core::Json& value, const std::string& path) {
  if (value.is_string()) return {value.get<std::string>()};
  if (!value.is_array()) refuse(path, value, "a list of strings");
  std::vector<std::string> result;
  for (const core::Json& item : value) {
    if (!item.is_string()) refuse(core::str(path, "[", result.size(), "]"), item, "a string");
    result.push_back(item.get<std::string>());
  }
  return result;
}

Params::Params(const core::Json& params, std::string where, const std::vector<std::string>& known)
    : params_(params.is_null() ? core::Json::object() : params), where_(std::move(where)) {
  if (!params_.is_object()) refuse(where_, params_, "an object");
  for (const auto& [key, value] : params_.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    throw core::UserError(core::str(path(key),
                                    ": unknown parameter",
                                    core::did_you_mean(key, known),
                                    "; known: ",
                                    known.empty() ? "none" : core::join(known, ", ")));
  }
}

const core::Json* Params::find(const std::string& key) const { return core::find(params_, key); }

double Params::number(const std::string& key, double fallback, double low, double high) const {
  const core::Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number()) refuse(path(key), *value, "a number");
  const auto result = value->get<double>();
  if (!std::isfinite(result) || result < low || result > high) {
    refuse(path(key), *value, range_text(low, high, std::isfinite(low), std::isfinite(high)));
  }
  return result;
}

int64_t Params::integer(const std::string& key, int64_t fallback, int64_t low, int64_t high) const {
  const core::Json* value = find(key);
  if (value == nullptr) return fallback;
  const bool is_small = value->is_number_integer() && (!value->is_number_unsigned() ||
                                                       value->get<uint64_t>() <= uint64_t{1} << 62);
  if (!is_small) refuse(path(key), *value, core::str("an integer in ", low, "..", high));
  const auto result = value->get<int64_t>();
  if (result < low || result > high) refuse(path(key), *value, core::str(low, "..", high));
  return result;
}

bool Params::flag(const std::string& key, bool fallback) const {
  const core::Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) refuse(path(key), *value, "true or false");
  return value->get<bool>();
}

std::string Params::text(const std::string& key, const std::string& fallback) const {
  const core::Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) refuse(path(key), *value, "a string");
  return value->get<std::string>();
}

std::string Params::required_text(const std::string& key) const {
  if (find(key) == nullptr) throw core::UserError(core::str(path(key), " is missing"));
  return text(key, "");
}

std::string Params::choice(const std::string& key,
                           const std::string& fallback,
                           const std::vector<std::string>& choices) const {
  const std::string value = text(key, fallback);
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return value;
  throw core::UserError(core::str(path(key),
                                  " is '",
                                  core::printable(value),
                                  "'",
                                  core::did_you_mean(value, choices),
                                  ", expected one of ",
                                  core::join(choices, ", ")));
}

std::vector<std::string> Params::texts(const std::string& key,
                                       const std::vector<std::string>& fallback) const {
  const core::Json* value = find(key);
  return value == nullptr ? fallback : string_list(*value, path(key));
}

}  // namespace sgrpo::verifier
