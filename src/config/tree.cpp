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
    if (key.empty())
      throw ConfigError(str(value.where, ": '", core::printable(path), "' is not a key path"));
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
                            core::printable(path.substr(0, end)),
                            " is set to a value at ",
                            next->where,
                            ", so it has no keys of its own"));
    }
    node = next;
    begin = end + 1;
  }
}

/// Whether text on the command line is YAML: it begins with a bracket, brace or quote, and what
/// closes that is not before its end, as in the file name "[1]/data.jsonl".
bool is_flow(std::string_view text) {
  constexpr std::string_view kOpen = "[{\"'", kClose = "]}\"'";
  const size_t kind = text.empty() ? std::string_view::npos : kOpen.find(text[0]);
  if (kind == std::string_view::npos) return false;
  const size_t end = text.rfind(kClose[kind]);
  return end == text.size() - 1 || end == std::string_view::npos || end == 0;
}

/// The value of a dotted path, or null.
const Node* find_path(const Node& root, const std::string& path) {
  if (const Node* whole = root.find(path)) return whole;
  const size_t dot = path.find('.');
  if (dot == std::string::npos) return nullptr;
  const Node* section = root.find(path.substr(0, dot));
  return section == nullptr ? nullptr : find_path(*section, path.substr(dot + 1));
}

struct Renamed {
  std::string to;
  Node value;
};

/// Takes aliased members out of the tree.
void collect_aliases(Node& node,
                     const std::string& prefix,
                     const Aliases& aliases,
                     std::vector<Renamed>& found) {
  for (auto& [key, value] : node.members) {
    const std::string path = join_path(prefix, key);
    if (const auto alias = aliases.renamed.find(path); alias != aliases.renamed.end()) {
      value.written = path;
      found.push_back({alias->second, value});
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

void override_value(Node& root,
                    const std::string& path,
                    const std::string& text,
                    const Aliases& aliases) {
  const std::string where =
      str("command line: ", core::printable(path), "=", core::printable(text));
  const std::string_view trimmed = core::trim(text);
  Node value;
  if (is_flow(trimmed)) {
    value = parse_document(std::string(trimmed), where, false);
  } else if (!is_null_text(trimmed)) {
    if (!core::is_valid_utf8(trimmed)) throw ConfigError(where + ": not valid UTF-8");
    value.kind = Node::Kind::kScalar;
    value.scalar = trimmed;
  }
  value.where = where;
  const auto alias = aliases.renamed.find(path);
  if (alias != aliases.renamed.end()) value.written = path;
  put(root, alias == aliases.renamed.end() ? path : alias->second, std::move(value));
}

std::string ForeignKeys::advice(const std::string& path) const {
  if (const auto whole = top_level.find(path); whole != top_level.end()) return whole->second;
  for (size_t begin = 0; begin != std::string::npos;) {
    if (const auto word = words.find(path.substr(begin)); word != words.end()) return word->second;
    begin = path.find('.', begin);
    if (begin != std::string::npos) ++begin;
  }
  const auto section = sections.find(path.substr(0, path.find('.')));
  return section == sections.end() ? "" : section->second;
}

void apply_aliases(Node& root, const Aliases& aliases) {
  std::vector<Renamed> found;
  collect_aliases(root, "", aliases, found);
  for (Renamed& alias : found) {
    if (const Node* taken = find_path(root, alias.to); taken != nullptr) {
      throw ConfigError(str(alias.value.where,
                            ": '",
                            alias.value.written,
                            "' is another name of '",
                            alias.to,
                            "', which is given too (",
                            taken->where,
                            ")"));
    }
    put(root, alias.to, std::move(alias.value));
  }
}

void check_conflicts(const Node& root, const Aliases& aliases) {
  for (const Aliases::Conflict& conflict : aliases.conflicts) {
    const Node* alias = find_path(root, aliases.renamed.at(conflict.written));
    const Node* value = find_path(root, conflict.key);
    if (alias == nullptr || alias->written != conflict.written) continue;
    if (value == nullptr || value->scalar != conflict.value) continue;
    throw ConfigError(str(alias->where,
                          ": '",
                          conflict.written,
                          "' with ",
                          conflict.key,
                          ": ",
                          conflict.value,
                          " is refused: ",
                          conflict.reason));
  }
}

std::map<std::string, std::string> written_keys(const Node& root) {
  std::map<std::string, std::string> result;
  for (const auto& [key, value] : root.members) {
    if (!value.written.empty()) result[key] = value.written;
    for (const auto& [path, written] : written_keys(value)) result[join_path(key, path)] = written;
  }
  return result;
}

}  // namespace sgrpo::config
