// What keeps an external program away from files, processes and the network: bubblewrap.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "sgrpo/verifier/options.h"
#include "verifier/child_process.h"

namespace sgrpo::verifier {

/// What is asked for around a program.
struct SandboxOptions {
  Sandbox mode = Sandbox::kOff;
  bool network = false;  // stays under `require`, too; `auto` never takes it
};

/// The same program inside the sandbox that this machine allows: namespaces of its own, everything
/// read-only, an own /tmp that shows what the program needs of the real one (its folder, its
/// arguments, the working directory, what its environment names). What `auto` cannot have is
/// logged. Throws core::UserError where `require` cannot have it all.
ChildOptions sandboxed(const ChildOptions& plain, const SandboxOptions& options);

/// The file that a shell would run for `name`, a path or a program of PATH; nothing if there is
/// none.
std::optional<std::filesystem::path> find_program(const std::string& name);

}  // namespace sgrpo::verifier
