// Node tree -> the fields of a struct.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "config/describe.h"
#include "config/scalar.h"
#include "sgrpo/config/binder.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"

namespace sgrpo::config {
namespace {

using core::str;

constexpr double kMaxExactInteger = 9007199254740992.0;       // 2^53
constexpr double kFirstBeyond64Bits = 9223372036854775808.0;  // 2^63
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// What was found, for a message.
std::string show(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull: return "null";
    case Node::Kind::kList: return "a list";
    case Node::Kind::kMap: return "a map";
    case Node::Kind::kScalar: break;
  }
  const std::string text = core::printable(node.scalar);
  return node.quoted ? "the text '" + text + "'" : text;
}

/// Reads one field; every failure ends in `fail`.
class FieldReader {
 public:
  /// `written`: the key's other name, if it was given under one; `choices`: the texts that the
  /// field takes, none where anything goes.
  FieldReader(const Field& field, const std::string& written, std::vector<std::string> choices)
      : field_(field),
        name_(written.empty() ? field.path : str(written, " (", field.path, ")")),
        choices_(std::move(choices)) {}

  [[noreturn]] void fail(const Node& node, const std::string& expected) const {
    // "command line: optim.lr=x" and "command line: --seed x" have named key and value already.
    const bool is_quoted = core::starts_with(node.where, str("command line: ", field_.path, "=")) ||
                           core::starts_with(node.where, "command line: --");
    if (is_quoted && node.kind == Node::Kind::kScalar) {
      throw ConfigError(str(node.where, ": expected ", expected));
    }
    throw ConfigError(str(node.where, ": ", name_, " is ", show(node), ", expected ", expected));
  }

  void read(const Node& node, bool& value) const {
    const auto flag = is_plain(node) ? read_bool(node.scalar) : std::nullopt;
    if (!flag) fail(node, "true or false");
    value = *flag;
  }

  void read(const Node& node, int64_t& value) const {
    auto integer = is_plain(node) ? read_int(node.scalar) : std::nullopt;
    const double number = (is_plain(node) ? read_double(node.scalar) : std::nullopt).value_or(kNan);
    if (!integer) integer = integral(number);
    if (!integer && is_beyond_64_bits(number)) {
      const std::string range = range_text(field_);
      fail(node, (range.empty() ? "an integer" : range) + unit() + " (it needs more than 64 bits)");
    }
    if (!integer) fail(node, "an integer" + unit());
    check_range(node, static_cast<double>(*integer));
    value = *integer;
  }

  void read(const Node& node, double& value) const {
    const auto number = is_plain(node) ? read_double(node.scalar) : std::nullopt;
    if (!number) fail(node, "a number" + unit());
    if (!std::isfinite(*number)) fail(node, "a finite number" + unit());
    check_range(node, *number);
    value = *number;
  }

  void read(const Node& node, std::string& value) const {
    // A required key that is null counts as not given.
    if (node.kind == Node::Kind::kNull && field_.info.required) return value.clear();
    if (node.kind != Node::Kind::kScalar) fail(node, choices_or("text"));
    const bool is_known =
        choices_.empty() ||
        std::find(choices_.begin(), choices_.end(), node.scalar) != choices_.end();
    if (!is_known) fail(node, choices_or("") + core::did_you_mean(node.scalar, choices_));
    value = field_.info.is_path ? expanded(node) : node.scalar;
  }

  void read(const Node& node, const NamedMember& named) const {
    if (named.assign_number != nullptr && is_plain(node) && read_double(node.scalar)) {
      double value = 0.0;
      read(node, value);
      return named.assign_number(named.member, value);
    }
    std::vector<std::string> texts;
    if (named.is_list) {
      read(node, texts);
    } else if (!named.is_optional || node.kind != Node::Kind::kNull) {
      read(node, texts.emplace_back());
    }
    named.assign(named.member, texts);
  }

  template <class T>
  void read(const Node& node, std::optional<T>& value) const {
    if (node.kind == Node::Kind::kNull) return value.reset();
    T inner{};
    read(node, inner);
    value = std::move(inner);
  }

  template <class T>
  void read(const Node& node, std::vector<T>& value) const {
    if (node.kind == Node::Kind::kMap) fail(node, type_name(field_));
    std::vector<T> result;
    const auto append = [&](const Node& item) {
      T element{};
      read(item, element);
      result.push_back(std::move(element));
    };
    if (node.kind == Node::Kind::kScalar) append(node);
    for (const Node& item : node.items) append(item);
    value = std::move(result);
  }

  void read(const Node& node, std::map<std::string, std::string>& value) const {
    if (node.kind != Node::Kind::kMap && node.kind != Node::Kind::kNull)
      fail(node, "a map of names to texts");
    std::map<std::string, std::string> result;
    for (const auto& [key, member] : node.members) {
      if (member.kind != Node::Kind::kScalar) {
        throw ConfigError(str(member.where,
                              ": ",
                              name_,
                              ".",
                              core::printable(key),
                              " is ",
                              show(member),
                              ", expected text"));
      }
      result[key] = field_.info.is_path ? expanded(member) : member.scalar;
    }
    value = std::move(result);
  }

  void read(const Node& node, core::Json& value) const {
    // `params:` with nothing behind it keeps the default, {} rather than null.
    if (node.kind != Node::Kind::kNull) value = node.to_json();
  }

 private:
  static bool is_plain(const Node& node) {
    return node.kind == Node::Kind::kScalar && !node.quoted;
  }

  static std::optional<int64_t> integral(double number) {
    if (!(std::abs(number) <= kMaxExactInteger) || std::floor(number) != number)
      return std::nullopt;
    return static_cast<int64_t>(number);
  }

  static bool is_beyond_64_bits(double number) {
    return std::isfinite(number) && std::abs(number) >= kFirstBeyond64Bits;
  }

  std::string unit() const {
    return *field_.info.unit == '\0' ? "" : str(" (", field_.info.unit, ")");
  }

  std::string choices_or(const std::string& otherwise) const {
    constexpr size_t kMaxBytes = 400;  // names that the configuration defines may be many
    if (choices_.empty()) return otherwise;
    return number_or(field_) + core::printable(core::join(choices_, " | "), kMaxBytes);
  }

  void check_range(const Node& node, double number) const {
    if (number < field_.info.low || number > field_.info.high)
      fail(node, range_text(field_) + unit());
  }

  /// Throws ConfigError where the home folder is not known, or another one is meant.
  static std::string expanded(const Node& node) {
    try {
      return core::expand_home(node.scalar);
    } catch (const core::UserError& error) {
      throw ConfigError(str(node.where, ": ", error.what()));
    }
  }

  const Field& field_;
  std::string name_;
  std::vector<std::string> choices_;
};

/// No key of ours or of another program is longer.
constexpr size_t kMaxKeyBytes = 200;

/// Walks the tree along the known paths.
class Binder {
 public:
  Binder(const Node& root, const std::vector<Field>& fields, const ForeignKeys& foreign)
      : root_(root), fields_(fields), foreign_(foreign) {
    for (const Field& field : fields) {
      by_path_[field.path] = &field;
      for (size_t dot = field.path.find('.'); dot != std::string::npos;
           dot = field.path.find('.', dot + 1)) {
        sections_.insert(field.path.substr(0, dot));
      }
    }
  }

  void walk(const Node& node, const std::string& prefix) {
    for (const auto& [key, value] : node.members) {
      const std::string path = prefix + key;
      if (const auto field = by_path_.find(path); field != by_path_.end()) {
        set(*field->second, value);
      } else if (sections_.count(path) != 0) {
        enter(value, path);
      } else {
        refuse(path, value);
      }
    }
  }

 private:
  void set(const Field& field, const Node& node) {
    const auto [first, inserted] = places_.emplace(field.path, node.where);
    if (!inserted) {
      throw ConfigError(
          str(node.where, ": ", field.path, " is given twice (first at ", first->second, ")"));
    }
    const FieldReader reader(field, node.written, choices_for(field));
    std::visit([&](const auto& member) { reader.read(node, target(member)); }, field.member);
  }

  /// The names that a field takes: its own, and those that the configuration defines.
  std::vector<std::string> choices_for(const Field& field) const {
    std::vector<std::string> choices = choices_of(field);
    if (*field.info.more_names == '\0') return choices;
    if (const Node* more = root_.find(field.info.more_names); more != nullptr) {
      for (const auto& [name, value] : more->members) choices.push_back(name);
    }
    return choices;
  }

  /// A key that nobody knows. Of a whole section of another program the first key is explained.
  [[noreturn]] void refuse(const std::string& path, const Node& value) const {
    std::string leaf = path;
    const Node* node = &value;
    while (node->kind == Node::Kind::kMap && !node->members.empty() && leaf.size() < kMaxKeyBytes) {
      leaf += "." + node->members.front().first;
      node = &node->members.front().second;
    }
    const std::string advice = leaf.size() < kMaxKeyBytes ? foreign_.advice(leaf) : "";
    if (!advice.empty()) {
      throw ConfigError(str(node->where, ": '", leaf, "' is not a key of sgrpo: ", advice));
    }
    throw ConfigError(
        str(value.where, ": unknown key '", core::printable(path), "'", suggestion(path)));
  }

  void enter(const Node& node, const std::string& path) {
    if (node.kind == Node::Kind::kMap) return walk(node, path + ".");
    if (node.kind == Node::Kind::kNull) return;
    throw ConfigError(str(node.where,
                          ": ",
                          path,
                          " is ",
                          show(node),
                          ", expected a section with keys such as ",
                          example(path)));
  }

  std::string example(const std::string& section) const {
    for (const Field& field : fields_) {
      if (core::starts_with(field.path, section + ".")) return field.path;
    }
    return "";
  }

  /// Keys of that name elsewhere, else the nearest of the same section, else the nearest anywhere.
  std::string suggestion(const std::string& path) const {
    const size_t dot = path.rfind('.');
    const std::string section = dot == std::string::npos ? "" : path.substr(0, dot + 1);
    const std::string leaf = path.substr(section.size());
    std::vector<std::string> siblings, leaves, same;
    for (const Field& field : fields_) {
      leaves.push_back(field.path.substr(field.path.rfind('.') + 1));
      if (leaves.back() == leaf) same.push_back(str("'", field.path, "'"));
      if (!core::starts_with(field.path, section)) continue;
      const std::string rest = field.path.substr(section.size());
      siblings.push_back(rest.substr(0, rest.find('.')));
    }
    if (!same.empty()) return str(" (did you mean ", core::join(same, " or "), "?)");
    if (const std::string best = core::nearest(leaf, siblings); !best.empty())
      return str(" (did you mean '", section, best, "'?)");
    const std::string best = core::nearest(leaf, leaves);
    for (size_t i = 0; i < leaves.size() && !best.empty(); ++i) {
      if (leaves[i] == best) return str(" (did you mean '", fields_[i].path, "'?)");
    }
    return "; print-config --help lists the keys";
  }

  const Node& root_;
  const std::vector<Field>& fields_;
  const ForeignKeys& foreign_;
  std::map<std::string, const Field*> by_path_;
  std::set<std::string> sections_;
  std::map<std::string, std::string> places_;
};

}  // namespace

bool is_unset(const Field& field) {
  if (const auto* text = std::get_if<std::string*>(&field.member)) return (*text)->empty();
  if (const auto* json = std::get_if<core::Json*>(&field.member)) return (*json)->is_null();
  return false;
}

void bind_fields(const Node& root, const std::vector<Field>& fields, const ForeignKeys& foreign) {
  Binder(root, fields, foreign).walk(root, "");
}

void require_fields(const std::vector<Field>& fields, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    for (const Field& field : fields) {
      if (field.path == path && is_unset(field)) {
        throw ConfigError(str(path,
                              " is required: ",
                              field.info.help,
                              "; set it in the YAML file or as ",
                              path,
                              "=... on the command line"));
      }
    }
  }
}

}  // namespace sgrpo::config
