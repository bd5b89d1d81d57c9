#include "cli/help.h"

#include <algorithm>

#include "cli/arguments.h"
#include "cli/version.h"
#include "sgrpo/core/text.h"

namespace sgrpo::cli {
namespace {

using config::FieldLine;
using core::str;

std::string padded(const std::string& text, size_t width) {
  return text + std::string(width > text.size() ? width - text.size() : 1, ' ');
}

/// "--group-size N" as it is typed.
std::string synopsis(const FieldLine& flag) {
  if (flag.is_boolean) return flag_name(flag.path);
  std::string value = flag.unit;
  if (value.empty()) value = core::starts_with(flag.type, "integer") ? "N" : "X";
  if (core::starts_with(flag.type, "text") && flag.unit.empty()) value = "TEXT";
  if (core::starts_with(flag.type, "name") && flag.unit.empty()) value = "NAME";
  std::replace(value.begin(), value.end(), ' ', '-');
  return flag_name(flag.path) + " " + value;
}

/// " (required)" or " (default 1, 1..65536)".
std::string facts(const FieldLine& flag) {
  std::vector<std::string> parts;
  if (flag.is_required) parts.push_back("required");
  if (!flag.is_required && !(flag.is_boolean && flag.default_value == "false") &&
      flag.default_value != "null")
    parts.push_back("default " + flag.default_value);
  if (!flag.range.empty()) parts.push_back(flag.range);
  return parts.empty() ? "" : " (" + core::join(parts, ", ") + ")";
}

std::string flag_lines(const std::vector<FieldLine>& flags) {
  constexpr size_t kWidth = 28;
  std::string result;
  for (const FieldLine& flag : flags) {
    result += str("  ", padded(synopsis(flag), kWidth), flag.help, facts(flag), "\n");
  }
  return result;
}

core::Json to_json(const std::vector<FieldLine>& lines) {
  core::Json result = core::Json::array();
  for (const FieldLine& line : lines) {
    result.push_back({{"flag", flag_name(line.path)},
                      {"type", line.type},
                      {"default", line.default_value},
                      {"range", line.range},
                      {"unit", line.unit},
                      {"help", line.help}});
  }
  return result;
}

}  // namespace

std::string program_help() {
  std::string result = str("sgrpo ",
                           program_version(),
                           ": post-training of Qwen vision-language models (GRPO, S-GRPO)\n\n",
                           "usage: sgrpo <command> [config.yaml] [--flag value ...] "
                           "[key.sub=value ...]\n\ncommands:\n");
  for (const std::string& name : CommandRegistry::names()) {
    const Command command = CommandRegistry::get("command", name)();
    result += str("  ", padded(name, 14), command.summary, "\n");
  }
  return result +
         "\nsgrpo <command> --help lists its flags; print-config --help every key of the "
         "configuration.\n";
}

std::string command_help(const std::string& name, const Command& command) {
  std::string result = str("sgrpo ", name, ": ", command.summary, "\n\nusage: sgrpo ", name);
  if (command.takes_config) result += " [config.yaml]";
  for (const FieldLine& flag : command.flags) {
    if (flag.is_required) result += " " + synopsis(flag);
  }
  result += " [--flag value ...]";
  if (command.takes_config) result += " [key.sub=value ...]";
  result += "\n\nflags:\n" + flag_lines(command.flags);
  if (command.takes_config) {
    result += "  --config FILE               the configuration, as the first argument\n";
  }
  result += flag_lines(global_flags());
  if (!command.details.empty()) result += "\n" + command.details;
  return result;
}

core::Json command_help_json(const std::string& name, const Command& command) {
  return {{"command", name},
          {"summary", command.summary},
          {"takes_config", command.takes_config},
          {"flags", to_json(command.flags)},
          {"details", command.details}};
}

}  // namespace sgrpo::cli
