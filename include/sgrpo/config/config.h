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
  std::string where;    // "run.yaml:12" or "command line: rollout.group_size=4"
  std::string written;  // the key that the user wrote, where it is another name of the real one

  const Node* find(const std::string& key) const;
  /// As JSON: unquoted scalars become null, bool, integer or float as YAML 1.2's core schema says.
  core::Json to_json() const;
};

/// Reads a YAML file whose root is a map (an empty file is an empty map). Refuses duplicate keys,
/// cycles, more than 100 aliases, nesting beyond 64, custom tags, ill-formed UTF-8 and a second
/// document. Throws ConfigError "run.yaml:12: ...", and says so where the file is a data file or no
/// text at all.
Node load_yaml(const std::filesystem::path& path);
/// The same for text; `name` stands for the file in messages.
Node parse_yaml(const std::string& text, const std::string& name);

/// Keys of other programs, and what to write here instead; asked about unknown keys alone.
struct ForeignKeys {
  std::map<std::string, std::string> words;      // a dotted path or its end -> advice
  std::map<std::string, std::string> top_level;  // a whole path -> advice
  std::map<std::string, std::string> sections;   // the beginning of a path -> advice

  /// "set optim.lr (...)", or "" where nothing is known.
  std::string advice(const std::string& path) const;
};

/// What other names the configuration is read under.
struct Aliases {
  /// A value that an alias does not mean the same with.
  struct Conflict {
    std::string written, key, value, reason;
  };
  std::map<std::string, std::string> renamed;  // "num_generations" -> "rollout.group_size"
  std::vector<Conflict> conflicts;
  ForeignKeys foreign;
};

/// Sets `path` ("num_generations", an alias too) in the tree to `text`; later values win. Text that
/// begins with a bracket, brace or quote is YAML, unless that closes before the text's end;
/// anything else is one scalar as it stands, so that "a: b # c" and "[1]/b" need no quoting beyond
/// the shell's.
void override_value(Node& root,
                    const std::string& path,
                    const std::string& text,
                    const Aliases& aliases = {});

/// Rewrites aliases in the tree (whole dotted paths, and bare top-level names). Throws ConfigError
/// where one key is given under two names.
void apply_aliases(Node& root, const Aliases& aliases);

/// Throws ConfigError where an alias stands beside a value with which it means something else.
void check_conflicts(const Node& root, const Aliases& aliases);

/// The keys that were given under another name: real path -> the name that the user wrote.
std::map<std::string, std::string> written_keys(const Node& root);

/// One line of `print-config --help`.
struct FieldLine {
  std::string path, type, default_value, range, unit, help;
  bool is_boolean = false;
  bool is_required = false;
};

}  // namespace sgrpo::config
