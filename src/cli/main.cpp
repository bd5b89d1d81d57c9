#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "cli/stoppable_input.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/core/interrupt.h"

namespace {

void install_early(int /*argc*/, char** /*argv*/, char** /*environment*/) {
  sgrpo::core::install_stop_signals();
}

// Before the constructors of a hundred libraries run: a stop that comes meanwhile counts.
[[gnu::section(".preinit_array"), gnu::used]] void (*early)(int, char**, char**) = install_early;

/// A file that is opened later must not become stdin, stdout or stderr: log lines would land in it.
void fill_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) != -1) continue;
    // Read-only: results for a closed stdout stay an error.
    if (::open("/dev/null", O_RDONLY) != stream) ::_exit(1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  fill_standard_streams();
  sgrpo::cli::StoppableInput keyboard(STDIN_FILENO);
  std::cin.rdbuf(&keyboard);
  const int code = sgrpo::cli::run_program({argv + (argc > 0 ? 1 : 0), argv + argc});
  std::cout.flush();
  std::fflush(nullptr);
  // Static destructors of LibTorch and CUDA may crash after a good run: leave without them.
  ::_exit(code);
}
