// Texts of --help.
#pragma once

#include <string>

#include "sgrpo/cli/command.h"

namespace sgrpo::cli {

/// What `sgrpo` and `sgrpo --help` print: every command with its summary.
std::string program_help();

/// What `sgrpo <name> --help` prints: usage, flags with defaults and ranges, details.
std::string command_help(const std::string& name, const Command& command);

/// The same as JSON, for --help --json.
core::Json command_help_json(const std::string& name, const Command& command);

}  // namespace sgrpo::cli
