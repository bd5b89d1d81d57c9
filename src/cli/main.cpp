#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "sgrpo/cli/command.h"

int main(int argc, char** argv) {
  const int code = sgrpo::cli::run_program({argv + (argc > 0 ? 1 : 0), argv + argc});
  std::cout.flush();
  std::fflush(nullptr);
  // Static destructors of LibTorch and CUDA may crash after a good run: leave without them.
  ::_exit(code);
}
