// sgrpo print-config: the effective configuration, and what differs from the defaults.
#include <iostream>

#include "sgrpo/cli/command.h"
#include "sgrpo/core/text.h"
#include "sgrpo/trainer/load_config.h"

namespace sgrpo::cli {
namespace {

using core::str;

std::string describe(const config::FieldLine& line) {
  std::vector<std::string> facts = {line.type};
  if (!line.range.empty()) facts.push_back(line.range);
  if (!line.unit.empty()) facts.push_back(line.unit);
  return str("  ",
             line.path,
             ": ",
             line.default_value,
             "   # ",
             core::join(facts, ", "),
             "\n      ",
             line.help,
             "\n");
}

struct PrintConfig {
  static constexpr const char* kSummary =
      "the effective configuration, and what differs from the defaults";
  static constexpr bool kTakesConfig = true;

  static std::string details() {
    std::string text = "every key with its default, type, range and unit:\n";
    for (const auto& line : config::list_fields<trainer::RunConfig>()) text += describe(line);
    text += "\nnames accepted on input:\n";
    for (const auto& [alias, path] : trainer::run_config_aliases().renamed) {
      text += str("  ", alias, " -> ", path, "\n");
    }
    return text;
  }

  int run(const Invocation& invocation) {
    const trainer::RunConfig config =
        trainer::load_run_config(invocation.config, invocation.overrides);
    if (invocation.json) {
      const core::Json result = {{"config", config::to_json(config)},
                                 {"differences", config::differences(config)}};
      std::cout << core::dump_ascii(result) << "\n";
    } else {
      std::cout << config::to_annotated_yaml(config);
    }
    return 0;
  }
};

SGRPO_REGISTER_COMMAND("print-config", PrintConfig);

}  // namespace
}  // namespace sgrpo::cli
