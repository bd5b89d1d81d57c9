// Reads the `params` of a verifier; what is wrong is said with the key's path.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "sgrpo/core/json.h"

namespace sgrpo::verifier {

/// Typed access to one verifier's parameters. Null or missing values give the fallback.
class Params {
 public:
  /// Throws UserError if `params` is no object or has a key outside `known` (nearest one named).
  Params(const core::Json& params, std::string where, const std::vector<std::string>& known);

  /// A number in [low, high]; "verifier.params.tolerance is -1, expected >= 0".
  double number(const std::string& key,
                double fallback,
                double low = -std::numeric_limits<double>::infinity(),
                double high = std::numeric_limits<double>::infinity()) const;
  int64_t integer(const std::string& key, int64_t fallback, int64_t low, int64_t high) const;
  bool flag(const std::string& key, bool fallback) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  /// Throws UserError if the key is missing.
  std::string required_text(const std::string& key) const;
  /// One of `choices`.
  std::string choice(const std::string& key,
                     const std::string& fallback,
                     const std::vector<std::string>& choices) const;
  /// A list of strings; a single string counts as a list of one.
  std::vector<std::string> texts(const std::string& key,
                                 const std::vector<std::string>& fallback) const;
  /// The value, or nullptr if missing or null.
  const core::Json* find(const std::string& key) const;
  /// "verifier.params.tolerance"
  std::string path(const std::string& key) const { return where_ + "." + key; }

 private:
  core::Json params_;
  std::string where_;
};

/// Throws UserError "<path> is <value>, expected <expected>".
[[noreturn]] void refuse(const std::string& path,
                         const core::Json& value,
                         const std::string& expected);

/// The strings of a JSON list of strings (or of one string). Throws UserError naming the item.
std::vector<std::string> string_list(const core::Json& value, const std::string& path);

}  // namespace sgrpo::verifier
