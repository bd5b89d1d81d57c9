// A list of methods in the configuration, as in algorithm.shaping: [{name, params}, ...].
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sgrpo/core/json.h"

namespace sgrpo::algorithm {

/// One entry.
struct MethodEntry {
  std::string name;
  core::Json params = core::Json::object();
  std::string where;  // "algorithm.shaping[0]", for messages
};

/// The entries of a list. Throws core::UserError naming the entry that is no {name, params}.
std::vector<MethodEntry> read_methods(const core::Json& list, const std::string& key);

/// algorithm.params.<kind>: what the estimator or the loss takes; {} if it is not given.
core::Json own_params(const core::Json& params, const std::string& kind);

/// A method's own parameters: each is asked for once, and what nobody asked for is unknown.
class MethodParams {
 public:
  MethodParams(const core::Json& params, std::string where);

  double number(const std::string& key, double fallback, double low, double high);
  int64_t integer(const std::string& key, int64_t fallback, int64_t low, int64_t high);
  bool flag(const std::string& key, bool fallback);
  /// Without a fallback the parameter is required.
  std::string text(const std::string& key, const std::optional<std::string>& fallback);
  /// Throws core::UserError for a key that was not asked for, with the nearest one that was.
  void finish() const;

 private:
  const core::Json* find(const std::string& key);
  const core::Json& params_;
  std::string where_;
  std::vector<std::string> known_;
};

}  // namespace sgrpo::algorithm
