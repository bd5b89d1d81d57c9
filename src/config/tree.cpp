// Node: access, overrides, aliases.
#include <algorithm>

#include "config/scalar.h"
#include "config/yaml_events.h"
#include "sgrpo/config/config.h"
#include "sgrpo/core/text.h"

namespace sgrpo::config {
namespace {

using core::str;

std::string join_path(const std::string& prefix, const std::string& key) {
  return prefix.empty() ? key : prefix + "." + key;
}

Node* find_member(Node& node, const std::string& key) {
  for (auto& [name, value] : node.members) {
    if (name == key) return &value;
  }
  return nullptr;
}

/// Puts `value` at a dotted path, making the sections on the way. A YAML file may also write the
/// dotted path as one key, so every section is first asked for the rest of the path.
void put(Node& root, const std::string& path, Node value) {
  Node* node = &root;
  for (size_t begin = 0;;) {
    if (Node* existing = find_member(*node, path.substr(begin))) {
      *existing = std::move(value);
      return;
    }
    const size_t end = path.find('.', begin);
    const std::string key = path.substr(begin, end - begin);
    if (key.empty()) throw ConfigError(str(value.where, ": '", path, "' is not a key path"));
    if (end == std::string::npos) {
      node->members.emplace_back(key, std::move(value));
      return;
    }
    Node* next = find_member(*node, key);
    if (next == nullptr) {
      Node section;
      section.kind = Node::Kind::kMap;
      section.where = value.where;
      next = &node->members.emplace_back(key, std::move(section)).second;
    }
    if (next->kind == Node::Kind::kNull) next->kind = Node::Kind::kMap;
    if (next->kind != Node::Kind::kMap) {
      throw ConfigError(str(value.where,
                            ": ",
                            path.substr(0, end),
                            " is set to a value at ",
                            next->where,
                            ", so it has no keys of its own"));
    }
    node = next;
    begin = end + 1;
  }
}

/// The place at which a dotted path is set already, or "".
std::string place_of(const Node& root, const std::string& path) {
  if (const Node* whole = root.find(path)) return whole->where;
  const size_t dot = path.find('.');
  if (dot == std::string::npos) return "";
  const Node* section = root.find(path.substr(0, dot));
  return section == nullptr ? "" : place_of(*section, path.substr(dot + 1));
}

struct Renamed {
  std::string from, to;
  Node value;
};

/// Takes aliased members out of the tree.
void collect_aliases(Node& node,
                     const std::string& prefix,
                     const Aliases& aliases,
                     std::vector<Renamed>& found) {
  for (auto& [key, value] : node.members) {
    const std::string path = join_path(prefix, key);
    const std::string real = resolve_alias(path, aliases, value.where);
    if (real != path) {
      found.push_back({path, real, value});
    } else if (key != "params") {
      collect_aliases(value, path, aliases, found);
    }
  }
  std::erase_if(node.members, [&](const auto& member) {
    return aliases.renamed.count(join_path(prefix, member.first)) != 0;
  });
}

}  // namespace

const Node* Node::find(const std::string& key) const {
  for (const auto& [name, value] : members) {
    if (name == key) return &value;
  }
  return nullptr;
}

core::Json Node::to_json() const {
  switch (kind) {
    case Kind::kNull: return nullptr;
    case Kind::kList: {
      core::Json list = core::Json::array();
      for (const Node& item : items) list.push_back(item.to_json());
      return list;
    }
    case Kind::kMap: {
      core::Json map = core::Json::object();
      for (const auto& [key, value] : members) map[key] = value.to_json();
      return map;
    }
    case Kind::kScalar: break;
  }
  if (quoted) return scalar;
  if (is_null_text(scalar)) return nullptr;
  if (const auto flag = read_bool(scalar)) return *flag;
  if (const auto integer = read_int(scalar)) return *integer;
  if (const auto number = read_double(scalar)) return *number;
  return scalar;
}

void override_value(Node& root, const std::string& path, const std::string& text) {
  const std::string where = str("command line: ", path, "=", core::printable(text));
  const std::string_view trimmed = core::trim(text);
  Node value;
  if (!trimmed.empty() && std::string_view("[{\"'").find(trimmed[0]) != std::string_view::npos) {
    value = parse_document(std::string(trimmed), where, false);
  } else if (!is_null_text(trimmed)) {
    if (!core::is_valid_utf8(trimmed)) throw ConfigError(where + ": not valid UTF-8");
    value.kind = Node::Kind::kScalar;
    value.scalar = trimmed;
  }
  value.where = where;
  put(root, path, std::move(value));
}

std::string resolve_alias(const std::string& path,
                          const Aliases& aliases,
                          const std::string& where) {
  const auto renamed = aliases.renamed.find(path);
  if (renamed != aliases.renamed.end()) return renamed->second;
  const auto refused = aliases.refused.find(path.substr(path.rfind('.') + 1));
  if (refused != aliases.refused.end() && path.find("params.") == std::string::npos) {
    throw ConfigError(str(where, ": '", path, "' is not a key of sgrpo: ", refused->second));
  }
  return path;
}

void apply_aliases(Node& root, const Aliases& aliases) {
  std::vector<Renamed> found;
  collect_aliases(root, "", aliases, found);
  for (Renamed& alias : found) {
    const std::string taken = place_of(root, alias.to);
    if (!taken.empty()) {
      throw ConfigError(str(alias.value.where,
                            ": '",
                            alias.from,
                            "' is another name of '",
                            alias.to,
                            "', which is given too (",
                            taken,
                            ")"));
    }
    put(root, alias.to, std::move(alias.value));
  }
}

}  // namespace sgrpo::config
