#include "sgrpo/algorithm/method.h"

#include <algorithm>
#include <cmath>

#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"

namespace sgrpo::algorithm {

std::vector<MethodEntry> read_methods(const core::Json& list, const std::string& key) {
  if (!list.is_array()) {
    throw core::UserError(core::str(key, " must be a list of {name, params}, or [] for none"));
  }
  std::vector<MethodEntry> entries;
  for (const core::Json& item : list) {
    MethodEntry entry;
    entry.where = core::str(key, "[", entries.size(), "]");
    const bool is_named = item.is_object() && item.contains("name") && item["name"].is_string();
    if (!is_named)
      throw core::UserError(core::str(entry.where, " must be {name: ..., params: {...}}"));
    entry.name = item["name"].get<std::string>();
    for (const auto& [member, value] : item.items()) {
      if (member == "name") continue;
      if (member != "params" || !value.is_object()) {
        throw core::UserError(core::str(
            entry.where, ".", core::printable(member), " is unknown; expected name and params"));
      }
      entry.params = value;
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

core::Json own_params(const core::Json& params, const std::string& kind) {
  const core::Json* own = core::find(params, kind);
  return own == nullptr ? core::Json::object() : *own;
}

MethodParams::MethodParams(const core::Json& params, std::string where)
    : params_(params), where_(std::move(where)) {}

const core::Json* MethodParams::find(const std::string& key) {
  known_.push_back(key);
  return core::find(params_, key);
}

double MethodParams::number(const std::string& key, double fallback, double low, double high) {
  const core::Json* value = find(key);
  if (value == nullptr) return fallback;
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (!(number >= low && number <= high)) {
    throw core::UserError(core::str(
        where_, ".", key, " is ", value->dump(), ", expected a number in [", low, ", ", high, "]"));
  }
  return number;
}

int64_t MethodParams::integer(const std::string& key, int64_t fallback, int64_t low, int64_t high) {
  const core::Json* value = find(key);
  if (value == nullptr) return fallback;
  const bool fits = value->is_number_integer() && *value >= low && *value <= high;
  if (!fits) {
    throw core::UserError(core::str(where_,
                                    ".",
                                    key,
                                    " is ",
                                    value->dump(),
                                    ", expected an integer in [",
                                    low,
                                    ", ",
                                    high,
                                    "]"));
  }
  return value->get<int64_t>();
}

bool MethodParams::flag(const std::string& key, bool fallback) {
  const core::Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    throw core::UserError(
        core::str(where_, ".", key, " is ", value->dump(), ", expected true or false"));
  }
  return value->get<bool>();
}

std::string MethodParams::text(const std::string& key, const std::optional<std::string>& fallback) {
  const core::Json* value = find(key);
  if (value == nullptr && fallback) return *fallback;
  if (value == nullptr || !value->is_string()) {
    throw core::UserError(core::str(
        where_, ".", key, " is ", value == nullptr ? "missing" : value->dump(), ", expected text"));
  }
  return value->get<std::string>();
}

void MethodParams::finish() const {
  for (const auto& [key, value] : params_.items()) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    throw core::UserError(core::str(where_,
                                    ".",
                                    core::printable(key),
                                    " is unknown",
                                    core::did_you_mean(key, known_),
                                    "; known: ",
                                    known_.empty() ? "none" : core::join(known_, ", ")));
  }
}

}  // namespace sgrpo::algorithm
