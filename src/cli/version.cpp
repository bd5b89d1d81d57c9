#include "cli/version.h"

namespace sgrpo::cli {

std::string program_version() { return SGRPO_VERSION; }

std::string build_description() {
  return std::string(SGRPO_BUILD_TYPE) + ", g++ " + __VERSION__ + ", C++20";
}

}  // namespace sgrpo::cli
