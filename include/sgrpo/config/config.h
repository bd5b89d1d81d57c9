// YAML and command line -> a configuration struct; printing and diffing of one.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sgrpo/config/fields.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/json.h"

namespace sgrpo::config {

/// A wrong configuration. The message names file and line (or the command line), key path, what was
/// found, what is expected, and the nearest known key.
class ConfigError : public core::UserError {
 public:
  using core::UserError::UserError;
};

/// One parsed scalar, list or map with its place; the tree behind every configuration.
struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string scalar;                                 // raw text of a scalar
  bool quoted = false;                                // '"1"' stays text in free-form members
  std::vector<Node> items;                            // list
  std::vector<std::pair<std::string, Node>> members;  // map, in order
  std::string where;  // "run.yaml:12" or "command line: rollout.group_size=4"

  const Node* find(const std::string& key) const;
  /// As JSON: unquoted scalars become null, bool, integer or float as YAML 1.2's core schema says.
  core::Json to_json() const;
};

/// Reads a YAML file whose root is a map (an empty file is an empty map). Refuses duplicate keys,
/// cycles, more than 100 aliases, nesting beyond 64, custom tags, ill-formed UTF-8 and a second
/// document. Throws ConfigError "run.yaml:12: ...".
Node load_yaml(const std::filesystem::path& path);
/// The same for text; `name` stands for the file in messages.
Node parse_yaml(const std::string& text, const std::string& name);

/// Sets `path` ("rollout.group_size") in the tree to `text`; later values win. Text that begins
/// with a bracket, brace or quote is YAML; anything else is one scalar as it stands, so that
/// "a: b # c" needs no quoting beyond the shell's.
void override_value(Node& root, const std::string& path, const std::string& text);

/// Alias -> real key path ("num_generations" -> "rollout.group_size"); and keys that are refused
/// with an explanation wherever they appear, free-form `params` excepted.
struct Aliases {
  std::map<std::string, std::string> renamed;
  std::map<std::string, std::string>
      refused;  // last part of a key path -> message (batch words print the batch equation)
};

/// The real name of one dotted path. Throws ConfigError "<where>: ..." for a refused key.
std::string resolve_alias(const std::string& path,
                          const Aliases& aliases,
                          const std::string& where);

/// Rewrites aliases in the tree (whole dotted paths, and bare top-level names). Throws ConfigError
/// for refused keys, and where one key is given under two names.
void apply_aliases(Node& root, const Aliases& aliases);

/// One line of `print-config --help`.
struct FieldLine {
  std::string path, type, default_value, range, unit, help;
  bool is_boolean = false;
  bool is_required = false;
};

}  // namespace sgrpo::config
