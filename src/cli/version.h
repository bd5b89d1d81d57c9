// What this binary is.
#pragma once

#include <string>

namespace sgrpo::cli {

/// "0.1.0".
std::string program_version();
/// "Release, g++ 12.2.0, C++20".
std::string build_description();

}  // namespace sgrpo::cli
