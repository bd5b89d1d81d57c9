// Which part of a list a process works on.
#pragma once

#include <cstdint>

namespace sgrpo::core {

/// One of `count` parts: item i belongs to part i % count. Alone, a process has all of them.
struct Share {
  int64_t index = 0, count = 1;
  bool holds(int64_t item) const { return item % count == index; }
};

}  // namespace sgrpo::core
