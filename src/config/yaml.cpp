// yaml-cpp's events -> Node. Its own tree is not used: it keeps the first of duplicate keys and
// loads alias bombs and self-references without a word.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <istream>
#include <map>
#include <optional>
#include <sstream>

#include "config/yaml_events.h"
#include "sgrpo/config/config.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/text.h"

namespace sgrpo::config {
namespace {

using core::str;

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxAliases = 100;
constexpr size_t kMaxNodes = 100000;  // after expansion: 100 aliases can still double 100 times
constexpr uint64_t kMaxFileBytes = 16u << 20;

/// A container being filled.
struct Frame {
  Node node;
  YAML::anchor_t anchor = 0;
  std::optional<std::string> key;             // of a map, waiting for its value
  std::string key_where;                      // place of that key
  std::map<std::string, std::string> places;  // key -> place, for duplicates
};

/// A finished anchored node with its measures.
struct Anchored {
  Node node;
  size_t num_nodes = 0, height = 0;
};

void measure(const Node& node, size_t depth, Anchored& result) {
  ++result.num_nodes;
  result.height = std::max(result.height, depth);
  for (const Node& item : node.items) measure(item, depth + 1, result);
  for (const auto& [key, value] : node.members) measure(value, depth + 1, result);
}

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string name, bool number_lines)
      : name_(std::move(name)), number_lines_(number_lines) {}

  Node take() { return std::move(root_); }

  std::string place(const YAML::Mark& mark) const {
    return number_lines_ ? str(name_, ":", mark.line + 1) : name_;
  }

  void OnDocumentStart(const YAML::Mark& mark) override { root_.where = place(mark); }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    node.where = place(mark);
    finish(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (++num_aliases_ > kMaxAliases) {
      throw ConfigError(str(place(mark), ": more than ", kMaxAliases, " aliases (*name)"));
    }
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      throw ConfigError(str(place(mark), ": an alias refers to the value it is part of"));
    }
    const Anchored& target = found->second;
    check_depth(mark, stack_.size() + target.height);
    count_nodes(mark, target.num_nodes);
    Node node = target.node;
    node.where = place(mark);
    attach(std::move(node));
  }

  void OnScalar(const YAML::Mark& mark,
                const std::string& tag,
                YAML::anchor_t anchor,
                const std::string& value) override {
    Node node;
    node.kind = Node::Kind::kScalar;
    node.scalar = value;
    node.where = place(mark);
    constexpr std::string_view kCore = "tag:yaml.org,2002:";
    node.quoted = tag == "!" || tag == str(kCore, "str");
    if (!node.quoted && tag != "?" && !tag.empty() && !core::starts_with(tag, kCore)) {
      throw ConfigError(str(node.where, ": the tag ", core::printable(tag), " is not supported"));
    }
    finish(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark,
                       const std::string&,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, anchor, Node::Kind::kList);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark,
                  const std::string&,
                  YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, anchor, Node::Kind::kMap);
  }
  void OnMapEnd() override { close(); }

 private:
  void check_depth(const YAML::Mark& mark, size_t depth) const {
    if (depth > kMaxDepth) {
      throw ConfigError(str(place(mark), ": nested more than ", kMaxDepth, " levels deep"));
    }
  }

  void count_nodes(const YAML::Mark& mark, size_t count) {
    num_nodes_ += count;
    if (num_nodes_ > kMaxNodes) {
      throw ConfigError(
          str(place(mark), ": more than ", kMaxNodes, " values once aliases are expanded"));
    }
  }

  void open(const YAML::Mark& mark, YAML::anchor_t anchor, Node::Kind kind) {
    check_depth(mark, stack_.size() + 1);
    if (expects_key()) {
      throw ConfigError(str(place(mark), ": a key must be a single word, not a list or map"));
    }
    Frame frame;
    frame.node.kind = kind;
    frame.node.where = place(mark);
    frame.anchor = anchor;
    stack_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    finish(std::move(frame.node), frame.anchor);
  }

  void finish(Node node, YAML::anchor_t anchor) {
    if (++num_nodes_ > kMaxNodes) {
      throw ConfigError(str(node.where, ": more than ", kMaxNodes, " values"));
    }
    if (anchor != 0) {
      Anchored anchored;
      measure(node, 0, anchored);
      anchored.node = node;
      anchors_[anchor] = std::move(anchored);
    }
    attach(std::move(node));
  }

  bool expects_key() const {
    return !stack_.empty() && stack_.back().node.kind == Node::Kind::kMap && !stack_.back().key;
  }

  void attach(Node node) {
    if (stack_.empty()) {
      root_ = std::move(node);
    } else if (expects_key()) {
      set_key(stack_.back(), node);
    } else if (Frame& frame = stack_.back(); frame.node.kind == Node::Kind::kMap) {
      // A section's first line is the one below its key; the key's line is what a reader looks for.
      node.where = frame.key_where;
      frame.node.members.emplace_back(std::move(*frame.key), std::move(node));
      frame.key.reset();
    } else {
      frame.node.items.push_back(std::move(node));
    }
  }

  static void set_key(Frame& frame, const Node& node) {
    if (node.kind != Node::Kind::kScalar) {
      throw ConfigError(str(node.where, ": a key is missing, or is no single word"));
    }
    if (node.scalar == "<<" && !node.quoted) {
      throw ConfigError(str(node.where, ": merge keys (<<) are not supported; write the keys out"));
    }
    const auto [first, inserted] = frame.places.emplace(node.scalar, node.where);
    if (!inserted) {
      throw ConfigError(str(node.where,
                            ": key '",
                            core::printable(node.scalar),
                            "' is given twice (first at ",
                            first->second,
                            ")"));
    }
    frame.key = node.scalar;
    frame.key_where = node.where;
  }

  std::string name_;
  bool number_lines_;
  Node root_;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  size_t num_aliases_ = 0, num_nodes_ = 0;
};

/// The number of four hexadecimal digits, or -1.
int read_hex4(std::string_view digits) {
  int value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return digits.size() == 4 && result.ptr == digits.data() + 4 ? value : -1;
}

/// JSON writes what lies beyond 16 bits as two escapes, \uD83D\uDE42, which YAML does not know:
/// they become one, \U0001F642.
std::string join_surrogates(const std::string& text) {
  std::string result;
  size_t copied = 0;
  for (size_t at = text.find("\\u"); at != std::string::npos; at = text.find("\\u", at + 2)) {
    size_t slashes = 0;
    while (slashes < at && text[at - 1 - slashes] == '\\') ++slashes;
    const std::string_view pair = std::string_view(text).substr(at, 12);
    if (slashes % 2 == 1 || pair.size() < 12 || pair.substr(6, 2) != "\\u") continue;
    const int high = read_hex4(pair.substr(2, 4)), low = read_hex4(pair.substr(8, 4));
    if (high < 0xD800 || high > 0xDBFF || low < 0xDC00 || low > 0xDFFF) continue;
    char escape[16];
    std::snprintf(
        escape, sizeof(escape), "\\U%08X", 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
    result.append(text, copied, at - copied) += escape;
    copied = at + 12;
    at += 10;
  }
  return result.append(text, copied);
}

/// Whether the text is JSON lines: two objects, or one that is a row.
bool holds_rows(std::string_view text) {
  if (core::starts_with(text, "\xEF\xBB\xBF")) text.remove_prefix(3);
  text = core::trim(text);
  const size_t end = std::min(text.find('\n'), text.size());
  if (text.empty() || text[0] != '{' || !core::is_valid_utf8(text.substr(0, end))) return false;
  core::Json first;
  try {
    first = core::parse_json(std::string(text.substr(0, end)), "");
  } catch (const core::UserError&) {
    return false;  // a flow map over several lines, or no JSON
  }
  if (core::starts_with(core::trim(text.substr(end)), "{")) return true;
  return first.contains("prompt") || first.contains("messages") ||
         first.contains("conversations") || first.contains("problem");
}

}  // namespace

Node parse_document(const std::string& original, const std::string& name, bool number_lines) {
  if (!core::is_valid_utf8(original)) throw ConfigError(name + ": not valid UTF-8");
  const std::string text = join_surrogates(original);
  TreeBuilder builder(name, number_lines);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    Node root = builder.take();
    if (root.where.empty()) root.where = number_lines ? name + ":1" : name;
    TreeBuilder second(name, number_lines);
    if (parser.HandleNextDocument(second)) {
      throw ConfigError(str(second.take().where, ": a second document; expected only one"));
    }
    return root;
  } catch (const YAML::Exception& error) {
    throw ConfigError(str(builder.place(error.mark), ": not valid YAML: ", error.msg));
  }
}

Node parse_yaml(const std::string& text, const std::string& name) {
  Node root = parse_document(text, name, true);
  if (root.kind == Node::Kind::kNull) root.kind = Node::Kind::kMap;
  if (root.kind != Node::Kind::kMap) {
    throw ConfigError(str(root.where, ": expected a map of keys (key: value) at the top"));
  }
  return root;
}

Node load_yaml(const std::filesystem::path& path) {
  const std::string bytes = core::read_file(path, kMaxFileBytes);
  if (const std::string_view kind = core::binary_kind(bytes); !kind.empty()) {
    throw ConfigError(str(path.string(), " is ", kind, ", expected a configuration in YAML"));
  }
  if (holds_rows(bytes)) {
    throw ConfigError(str(path.string(),
                          " holds one JSON object a line: it is a data file, expected a "
                          "configuration in YAML (a data file is named there as data.train, or as "
                          "data.train=FILE on the command line)"));
  }
  return parse_yaml(bytes, path.string());
}

}  // namespace sgrpo::config
