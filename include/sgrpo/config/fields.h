// How a configuration struct lists its fields: once, with default, range, unit and help, for every
// visitor.
#pragma once

#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

namespace sgrpo::config {

/// What is known about one field besides its type and default.
///
/// A section struct has `template <class V> void visit_fields(V& visit)`, which calls
/// `visit(name, member, FieldInfo)` for every field, in the order of printing. Field types: bool,
/// int64_t, double, std::string, enumerations with names (core/names.h), Choice (config/choice.h),
/// std::optional of these, std::vector of these, std::map<std::string, std::string> and core::Json
/// (free-form, validated by its owner). The default is the member's initialiser.
struct FieldInfo {
  const char* help = "";
  const char* unit = "";                                  // "" = dimensionless
  double low = -std::numeric_limits<double>::infinity();  // inclusive
  double high = std::numeric_limits<double>::infinity();  // inclusive
  std::vector<std::string> choices = {};                  // for strings: the allowed values
  const char* more_names = "";  // for a Choice: path of the map whose keys are names, too
  bool required = false;        // prints REQUIRED instead of a default
  bool is_path = false;         // for strings: a leading ~ or $HOME is the home folder
};

}  // namespace sgrpo::config
