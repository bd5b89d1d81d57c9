// YAML file + command line -> a validated RunConfig.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sgrpo/config/config.h"
#include "sgrpo/trainer/run_config.h"

namespace sgrpo::trainer {

/// Names of other frameworks that are accepted on input, and batch words that are refused.
const config::Aliases& run_config_aliases();

/// Reads the file, if there is one, then applies the overrides ("rollout.group_size=4") in order,
/// aliases included, and validates the result. Required keys are the command's business: see
/// config::require. Throws config::ConfigError; core::UserError if the file cannot be read.
RunConfig load_run_config(const std::optional<std::filesystem::path>& yaml,
                          const std::vector<std::string>& overrides);

}  // namespace sgrpo::trainer
