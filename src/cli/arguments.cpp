#include "cli/arguments.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"
#include "sgrpo/trainer/load_config.h"

namespace sgrpo::cli {
namespace {

using config::FieldLine;
using core::str;

/// The switches that every command takes, as fields.
struct GlobalFlags {
  bool help = false;
  bool json = false;
  bool quiet = false;
  std::optional<int64_t> threads;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("help", help, FieldInfo{.help = "this text"});
    visit("json", json, FieldInfo{.help = "results as JSON on stdout"});
    visit("quiet", quiet, FieldInfo{.help = "warnings and errors only on stderr"});
    visit("threads",
          threads,
          FieldInfo{.help = "CPU threads; null = OMP_NUM_THREADS, else the cores at hand",
                    .unit = "N",
                    .low = 1,
                    .high = 4096});
  }
};

std::string with_underscores(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

bool is_key_path(std::string_view text) {
  if (text.empty() || std::isalpha(static_cast<unsigned char>(text[0])) == 0) return false;
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.';
  });
}

/// Every key of the configuration and every alias.
std::vector<std::string> config_keys() {
  std::vector<std::string> keys;
  for (const FieldLine& line : config::list_fields<trainer::RunConfig>()) keys.push_back(line.path);
  for (const auto& [alias, path] : trainer::run_config_aliases().renamed) keys.push_back(alias);
  return keys;
}

class Parser {
 public:
  Parser(const Command& command, const std::vector<std::string>& words)
      : command_(command), words_(words) {
    for (const FieldLine& line : command.flags) flags_[line.path] = line;
    for (const FieldLine& line : global_flags()) globals_[line.path] = line;
    result_.flags.kind = config::Node::Kind::kMap;
    global_values_.kind = config::Node::Kind::kMap;
  }

  Arguments parse() {
    while (next_ < words_.size()) {
      const std::string& word = words_[next_++];
      if (word == "-h") {
        add_flag(global_values_, globals_.at("help"), word, "true");
      } else if (core::starts_with(word, "--") && word.size() > 2) {
        read_flag(word);
      } else {
        read_positional(word);
      }
    }
    GlobalFlags globals;
    config::bind(global_values_, globals);
    result_.help = globals.help;
    result_.quiet = globals.quiet;
    result_.threads = globals.threads;
    result_.invocation.json = globals.json;
    return std::move(result_);
  }

 private:
  void read_flag(const std::string& word) {
    const size_t equals = word.find('=');
    const std::string typed = word.substr(0, equals);
    const std::string name = with_underscores(typed.substr(2));
    std::optional<std::string> value;
    if (equals != std::string::npos) value = word.substr(equals + 1);
    if (command_.takes_config && name == "config") return set_config(take_value(typed, value));
    if (const auto own = flags_.find(name); own != flags_.end()) {
      return read_known(result_.flags, own->second, typed, value);
    }
    if (const auto global = globals_.find(name); global != globals_.end()) {
      return read_known(global_values_, global->second, typed, value);
    }
    const std::string positive = core::starts_with(name, "no_") ? name.substr(3) : "";
    if (const auto own = flags_.find(positive);
        own != flags_.end() && own->second.is_boolean && !value) {
      return add_flag(result_.flags, own->second, typed, "false");
    }
    if (command_.takes_config && is_config_key(name)) {
      result_.invocation.overrides.push_back(name + "=" + take_value(typed, value));
      return;
    }
    if (command_.takes_config) {
      const std::string advice = trainer::run_config_aliases().foreign.advice(name);
      if (!advice.empty()) throw UsageError(str(typed, " is not a flag of sgrpo: ", advice));
    }
    throw UsageError(str("unknown flag ", core::printable(typed), suggestion(name)));
  }

  void read_known(config::Node& target,
                  const FieldLine& flag,
                  const std::string& typed,
                  const std::optional<std::string>& value) {
    const bool is_bare_switch = flag.is_boolean && !value;
    add_flag(target, flag, typed, is_bare_switch ? "true" : take_value(typed, value));
  }

  static void add_flag(config::Node& target,
                       const FieldLine& flag,
                       const std::string& typed,
                       const std::string& value) {
    const bool is_text =
        core::starts_with(flag.type, "text") || core::starts_with(flag.type, "name");
    if (is_text) {
      config::Node node;
      node.kind = config::Node::Kind::kScalar;
      node.scalar = value;
      std::erase_if(target.members, [&](const auto& member) { return member.first == flag.path; });
      target.members.emplace_back(flag.path, std::move(node));
    } else {
      config::override_value(target, flag.path, value);
    }
    for (auto& [name, node] : target.members) {
      if (name == flag.path) node.where = str("command line: ", typed, " ", core::printable(value));
    }
  }

  std::string take_value(const std::string& typed, const std::optional<std::string>& value) {
    if (value) return *value;
    // A negative number is a value, another flag is not.
    if (next_ >= words_.size() || core::starts_with(words_[next_], "--")) {
      throw UsageError(str(core::printable(typed), " needs a value"));
    }
    return words_[next_++];
  }

  void read_positional(const std::string& word) {
    const size_t equals = word.find('=');
    if (equals != std::string::npos && is_key_path(word.substr(0, equals))) {
      if (!command_.takes_config) {
        throw UsageError(str("this command takes no configuration, so ",
                             core::printable(word),
                             " has no meaning; --help lists its flags"));
      }
      result_.invocation.overrides.push_back(word);
      return;
    }
    if (!command_.takes_config || core::starts_with(word, "-")) {
      throw UsageError(str("unexpected argument '", core::printable(word), "'; see --help"));
    }
    set_config(word);
  }

  void set_config(const std::string& path) {
    if (result_.invocation.config) {
      throw UsageError(str("two configuration files: ",
                           result_.invocation.config->string(),
                           " and ",
                           core::printable(path),
                           "; expected one"));
    }
    result_.invocation.config = core::expand_home(path);
  }

  static bool is_config_key(const std::string& name) {
    if (name.find('.') != std::string::npos) return true;  // the binder knows better suggestions
    const std::vector<std::string> keys = config_keys();
    return std::find(keys.begin(), keys.end(), name) != keys.end();
  }

  std::string suggestion(const std::string& name) const {
    std::vector<std::string> known =
        command_.takes_config ? config_keys() : std::vector<std::string>{};
    std::vector<std::string> same;
    for (const std::string& key : known) {
      if (core::ends_with(key, "." + name)) same.push_back("--" + key);
    }
    if (!same.empty()) return str(" (did you mean ", core::join(same, " or "), "?)");
    if (command_.takes_config) known.push_back("config");
    for (const auto& [flag, line] : flags_) known.push_back(flag);
    for (const auto& [flag, line] : globals_) known.push_back(flag);
    const std::string best = core::nearest(name, known);
    if (best.empty()) return "; see --help";
    const bool is_flag = flags_.count(best) + globals_.count(best) != 0;
    return str(" (did you mean ", is_flag ? flag_name(best) : "--" + best, "?)");
  }

  const Command& command_;
  const std::vector<std::string>& words_;
  size_t next_ = 0;
  std::map<std::string, FieldLine> flags_, globals_;
  config::Node global_values_;
  Arguments result_;
};

}  // namespace

std::vector<FieldLine> global_flags() { return config::list_fields<GlobalFlags>(); }

std::string flag_name(const std::string& member) {
  std::string name = "--" + member;
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

Arguments parse_arguments(const Command& command, const std::vector<std::string>& words) {
  return Parser(command, words).parse();
}

void bind_flags(const config::Node& flags, const std::vector<config::Field>& fields) {
  config::bind_fields(flags, fields);
  for (const config::Field& field : fields) {
    if (!field.info.required || !config::is_unset(field)) continue;
    throw UsageError(
        str(flag_name(field.path), " ", field.info.unit, " is required: ", field.info.help));
  }
}

}  // namespace sgrpo::cli
