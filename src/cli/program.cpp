// Dispatch, exit codes, and the last line of stderr.
#include <cstdio>
#include <iostream>
#include <new>
#include <system_error>

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include "cli/arguments.h"
#include "cli/help.h"
#include "cli/machine.h"
#include "cli/version.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"
#include "sgrpo/distributed/environment.h"
#include "sgrpo/telemetry/telemetry.h"
#include "sgrpo/trainer/crash_loop.h"

namespace sgrpo::cli {
namespace {

enum ExitCode {
  kDone = 0,
  kRunFailed = 1,
  kWrongInput = 2,
  kNoCheckpoint = 3,
  kCrashLoop = 70,
  kOutOfMemory = 71,
  kInterrupted = 75,
};

/// Prints the message as the one last line of stderr.
int fail(ExitCode code, std::string_view message) {
  std::cout.flush();
  std::string line;
  for (const std::string& part : core::split(core::trim(message), '\n')) {
    if (!line.empty()) line += " ";
    line += core::trim(part);
  }
  std::fprintf(stderr, "sgrpo: error: %s\n", core::printable(line, 8000).c_str());
  return code;
}

/// The CPU allocator's failure is a plain c10::Error.
bool is_out_of_memory(const c10::Error& error) {
  return dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         std::string_view(error.what_without_backtrace()).find("DefaultCPUAllocator") !=
             std::string_view::npos;
}

int print_help(const std::string& name, const Command& command, bool json) {
  if (json) {
    std::cout << core::dump_ascii(command_help_json(name, command)) << "\n";
  } else {
    std::cout << command_help(name, command);
  }
  return kDone;
}

/// The others work on rank 0 alone.
bool runs_on_all_ranks(const std::string& command) {
  return command == "train" || command == "sft";
}

int dispatch(const std::vector<std::string>& words) {
  if (words.empty()) {
    std::cout << program_help();
    throw UsageError("no command given; expected sgrpo <command>");
  }
  const std::string& name = words.front();
  if (name == "--help" || name == "-h" || name == "help") {
    std::cout << program_help();
    return kDone;
  }
  if (name == "--version") {
    std::cout << "sgrpo " << program_version() << "\n";
    return kDone;
  }
  const Command command = CommandRegistry::get("command", name)();
  const Arguments arguments =
      parse_arguments(command, std::vector<std::string>(words.begin() + 1, words.end()));
  if (arguments.help) return print_help(name, command, arguments.invocation.json);
  const distributed::Environment place = distributed::read_environment();
  if (place.rank > 0 && !runs_on_all_ranks(name)) {
    std::fprintf(stderr,
                 "rank %d: `sgrpo %s` runs on rank 0 alone\n",
                 static_cast<int>(place.rank),
                 name.c_str());
    return kDone;
  }
  place.rank > 0 ? telemetry::install_logging_of_rank(place.rank)
                 : telemetry::install_logging(arguments.quiet);
  at::set_num_threads(arguments.threads ? static_cast<int>(*arguments.threads)
                                        : default_threads(place.local_size));
  return command.run(arguments.flags, arguments.invocation);
}

/// A full disk or a closed pipe shows only when the last results are flushed.
int check_output(int code) {
  std::cout.flush();
  return std::cout ? code
                   : fail(kRunFailed,
                          "cannot write the results to stdout: its disk is full, or "
                          "its reader is gone");
}

}  // namespace

int run_program(const std::vector<std::string>& arguments) noexcept try {
  return check_output(dispatch(arguments));
} catch (const core::UserError& error) {
  return fail(kWrongInput, error.what());
} catch (const core::NoCheckpointError& error) {
  return fail(kNoCheckpoint, error.what());
} catch (const core::Interrupted& error) {
  return fail(kInterrupted, error.what());
} catch (const trainer::CrashLoopError& error) {
  return fail(kCrashLoop, error.what());
} catch (const c10::Error& error) {
  if (is_out_of_memory(error)) {
    return fail(kOutOfMemory, core::str("out of memory: ", error.what_without_backtrace()));
  }
  return fail(kRunFailed, error.what_without_backtrace());
} catch (const std::bad_alloc&) {
  return fail(kOutOfMemory, "out of memory: an allocation on the host failed");
} catch (const std::system_error& error) {
  if (error.code() != std::errc::resource_unavailable_try_again) {
    return fail(kRunFailed, error.what());
  }
  return fail(kRunFailed,
              "no further thread can be started: raise the limit on processes (ulimit -u, or that "
              "of the container), or lower --threads");
} catch (const std::exception& error) {
  return fail(kRunFailed, error.what());
} catch (...) {
  return fail(kRunFailed, "an unknown exception ended the command");
}

}  // namespace sgrpo::cli
