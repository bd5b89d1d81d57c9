// Subcommands: one source file each in src/cli, its flags listed like a configuration section.
//
// A command is a struct whose members are its flags:
//
//   struct Generate {
//     static constexpr const char* kSummary = "completions for the rows of a file";
//     static constexpr bool kTakesConfig = false;  // true: [config.yaml] and key.sub=value
//     std::string model;                           // --model DIR
//     int64_t group_size = 1;                      // --group-size N
//     bool greedy = false;                         // --greedy, --no-greedy
//     template <class V>
//     void visit_fields(V& visit) {
//       visit("model", model, FieldInfo{.help = "checkpoint", .unit = "DIR", .required = true});
//       visit("group_size", group_size, FieldInfo{.help = "per row", .low = 1, .high = 65536});
//       visit("greedy", greedy, FieldInfo{.help = "take the likeliest token"});
//     }
//     int run(const Invocation& invocation);       // exit code; failures are exceptions
//   };
//   SGRPO_REGISTER_COMMAND("generate", Generate);
//
// Types, ranges, choices, defaults and --help come from the field list (config/fields.h). A struct
// without flags leaves visit_fields out; `static std::string details()` adds text to --help.
// Results go to std::cout, everything else through core/log.h. See src/cli/README.md.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sgrpo/config/binder.h"
#include "sgrpo/config/config.h"
#include "sgrpo/core/registry.h"

namespace sgrpo::cli {

/// What the command line says besides the command's own flags.
struct Invocation {
  std::optional<std::filesystem::path> config;  // [config.yaml] or --config FILE
  std::vector<std::string> overrides;           // "key.sub=value", in order
  bool json = false;                            // --json: results as JSON
};

/// A registered command, without its type.
struct Command {
  std::string summary;
  std::string details;
  bool takes_config = false;
  std::vector<config::FieldLine> flags;  // named as the members: group_size
  int (*run)(const config::Node& flags, const Invocation& invocation) = nullptr;
};

using CommandFactory = Command (*)();
struct CommandTag {};
using CommandRegistry = core::Registry<CommandFactory, CommandTag>;

/// Fills a command's fields from its flags. Throws UsageError for missing or wrong ones.
void bind_flags(const config::Node& flags, const std::vector<config::Field>& fields);

/// A wrong command line.
class UsageError : public core::UserError {
 public:
  using core::UserError::UserError;
};

/// The fields of a command; none if it lists none.
template <class C>
std::vector<config::Field> flags_of(C& command) {
  if constexpr (requires(config::FieldCollector visit) { command.visit_fields(visit); }) {
    return config::fields_of(command);
  } else {
    return {};
  }
}

/// The type-free form of a command struct.
template <class C>
Command make_command() {
  C fresh;
  Command command;
  command.summary = C::kSummary;
  if constexpr (requires { C::details(); }) command.details = C::details();
  command.takes_config = C::kTakesConfig;
  command.flags = config::describe_fields(flags_of(fresh));
  command.run = [](const config::Node& flags, const Invocation& invocation) {
    C instance;
    bind_flags(flags, flags_of(instance));
    return instance.run(invocation);
  };
  return command;
}

/// Runs the program on its arguments (without its own name): parses, dispatches, reports a failure
/// as the last line of stderr, and returns the exit code. Throws nothing.
int run_program(const std::vector<std::string>& arguments) noexcept;

}  // namespace sgrpo::cli

#define SGRPO_REGISTER_COMMAND(name, Struct) \
  static const bool registered_##Struct =    \
      ::sgrpo::cli::CommandRegistry::add(name, &::sgrpo::cli::make_command<Struct>)
