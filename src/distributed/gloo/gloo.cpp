// The only file that sees c10d's Gloo class: the wheel has it, but none of Gloo's headers.
#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "distributed/backends.h"

namespace sgrpo::distributed {

Backend make_gloo(const Store& store, int64_t rank, int64_t size, const std::string& address) {
  auto options = c10d::ProcessGroupGloo::Options::create(std::chrono::hours(24 * 30));
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address));
  return c10::make_intrusive<c10d::ProcessGroupGloo>(
      store, static_cast<int>(rank), static_cast<int>(size), options);
}

}  // namespace sgrpo::distributed
