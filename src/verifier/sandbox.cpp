#include "verifier/sandbox.h"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <set>
#include <vector>

#include "sgrpo/core/error.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"

namespace sgrpo::verifier {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBubblewrap = "bwrap";
constexpr std::array kOwnFolders = {"/tmp", "/var/tmp"};

using Arguments = std::vector<std::string>;

void append(Arguments& mutable_list, const Arguments& more) {
  mutable_list.insert(mutable_list.end(), more.begin(), more.end());
}

/// Whether the path lies below a folder that the program gets empty.
bool is_hidden(const fs::path& path) {
  for (const char* folder : kOwnFolders) {
    if (core::starts_with(path.string(), core::str(folder, "/"))) return true;
  }
  return false;
}

/// What to show of a path that the program names: its folder, so that a script finds what lies
/// beside it, unless that is all of /tmp.
void show(const fs::path& path, std::set<std::string>& mutable_shown) {
  std::error_code error;
  const fs::path full = fs::absolute(path, error).lexically_normal();
  if (error || !is_hidden(full) || !fs::exists(full, error)) return;
  const bool is_file = !fs::is_directory(full, error);
  mutable_shown.insert(
      (is_file && is_hidden(full.parent_path()) ? full.parent_path() : full).string());
}

/// Everything that the program needs below /tmp, outer folders first.
std::set<std::string> shown_paths(const ChildOptions& plain) {
  std::set<std::string> shown;
  show(plain.program, shown);
  for (const std::string& argument : plain.argv) show(argument, shown);
  std::error_code error;
  show(fs::current_path(error), shown);
  for (const std::string& name : plain.environment) {
    const char* value = std::getenv(name.c_str());
    for (const std::string& path : core::split(value == nullptr ? "" : value, ':')) {
      if (core::starts_with(path, "/")) show(path, shown);
    }
  }
  return shown;
}

/// Graphics cards, for judges that are models.
Arguments devices() {
  Arguments arguments;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/dev", error)) {
    const std::string name = entry.path().filename().string();
    if (!core::starts_with(name, "nvidia") && name != "dri" && name != "kfd") continue;
    append(arguments, {"--dev-bind-try", entry.path().string(), entry.path().string()});
  }
  return arguments;
}

Arguments file_system(const ChildOptions& plain) {
  Arguments arguments = {"--ro-bind", "/", "/", "--dev", "/dev"};
  append(arguments, devices());
  std::error_code error;
  for (const char* folder : kOwnFolders) {
    if (!fs::is_directory(folder, error)) continue;
    if (plain.memory_bytes > 0) append(arguments, {"--size", std::to_string(plain.memory_bytes)});
    append(arguments, {"--tmpfs", folder});
  }
  for (const std::string& path : shown_paths(plain)) append(arguments, {"--ro-bind", path, path});
  append(arguments, {"--chdir", fs::current_path(error).string()});
  return arguments;
}

/// What bubblewrap is asked for; `own_processes`: the program sees no process but its own.
Arguments bubblewrap(const ChildOptions& plain, bool own_processes, bool own_network) {
  Arguments arguments = {kBubblewrap, "--die-with-parent", "--unshare-ipc", "--unshare-uts"};
  append(arguments, file_system(plain));
  if (own_processes) append(arguments, {"--unshare-pid", "--proc", "/proc"});
  if (own_network) append(arguments, {"--unshare-net"});
  arguments.push_back("--");
  return arguments;
}

ChildOptions wrap(const ChildOptions& plain, const fs::path& program, Arguments arguments) {
  ChildOptions wrapped = plain;
  wrapped.program = program;
  arguments.push_back(plain.program.string());
  arguments.insert(arguments.end(), plain.argv.begin() + 1, plain.argv.end());
  wrapped.argv = std::move(arguments);
  return wrapped;
}

/// Why nothing can run so; "" if it can.
std::string find_fault(const ChildOptions& plain,
                       const fs::path& program,
                       const Arguments& arguments) {
  constexpr TimeLimits kLimits{.row_s = 30.0, .start_s = 30.0};
  ChildOptions echo = plain;
  echo.program = "/bin/sh";
  echo.argv = {"sh", "-c", "read -r x; echo \"$x\""};
  try {
    ChildProcess process(wrap(echo, program, arguments));
    std::string answer;
    const auto outcome = process.exchange("ready", kLimits, answer);
    if (outcome == ChildProcess::Outcome::kLine && answer == "ready") return "";
    return process.end();
  } catch (const core::RunError& error) {
    return error.what();
  }
}

bool is_executable(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

ChildOptions required(const ChildOptions& plain,
                      const std::optional<fs::path>& program,
                      bool network) {
  std::string fault = "bubblewrap (bwrap) is not on PATH; install it";
  if (program) {
    const Arguments arguments = bubblewrap(plain, true, !network);
    fault = find_fault(plain, *program, arguments);
    if (fault.empty()) return wrap(plain, *program, arguments);
    fault = core::str("bubblewrap cannot give it here (", fault, "); allow user namespaces");
  }
  throw core::UserError(core::str(
      "verifier.sandbox is require, but ", fault, ", or set verifier.sandbox: auto or off"));
}

ChildOptions best(const ChildOptions& plain, const std::optional<fs::path>& program) {
  const std::string where =
      core::str("verifier.sandbox auto: '", core::printable(plain.argv.front()), "' ");
  if (!program) {
    core::info(
        where,
        "runs with this user's rights, without a sandbox: bubblewrap (bwrap) is not on PATH");
    return plain;
  }
  std::string fault;
  for (const bool own_processes : {true, false}) {
    const Arguments arguments = bubblewrap(plain, own_processes, false);
    const std::string now = find_fault(plain, *program, arguments);
    if (!now.empty()) {
      fault = now;
      continue;
    }
    if (!own_processes) {
      core::warn(where, "sees all processes: bubblewrap cannot hide them here (", fault, ")");
    }
    return wrap(plain, *program, arguments);
  }
  core::warn(where,
             "runs with this user's rights, without a sandbox: bubblewrap cannot give one here (",
             fault,
             ")");
  return plain;
}

}  // namespace

std::optional<fs::path> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    return is_executable(name) ? std::optional(fs::absolute(name)) : std::nullopt;
  }
  const char* const path = std::getenv("PATH");
  for (const std::string& folder : core::split(path == nullptr ? "/usr/bin:/bin" : path, ':')) {
    const fs::path candidate = fs::path(folder.empty() ? "." : folder) / name;
    if (!name.empty() && is_executable(candidate)) return fs::absolute(candidate);
  }
  return std::nullopt;
}

ChildOptions sandboxed(const ChildOptions& plain, const SandboxOptions& options) {
  if (options.mode == Sandbox::kOff) return plain;
  const std::optional<fs::path> program = find_program(kBubblewrap);
  return options.mode == Sandbox::kRequire ? required(plain, program, options.network)
                                           : best(plain, program);
}

}  // namespace sgrpo::verifier
