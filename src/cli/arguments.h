// The words behind the command's name -> flags, overrides and global switches.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sgrpo/cli/command.h"

namespace sgrpo::cli {

/// A parsed command line.
struct Arguments {
  config::Node flags;  // the command's own, named as its members
  Invocation invocation;
  bool help = false;
  bool quiet = false;
  std::optional<int64_t> threads;
};

/// Flags that every command takes, for parsing and for --help.
std::vector<config::FieldLine> global_flags();

/// `--name` as it is typed for the member `name`.
std::string flag_name(const std::string& member);

/// Parses the words after the command's name. Throws UsageError.
Arguments parse_arguments(const Command& command, const std::vector<std::string>& words);

}  // namespace sgrpo::cli
