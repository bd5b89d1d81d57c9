// Texts in a store, which keeps bytes.
#pragma once

#include <string>

#include "distributed/backends.h"

namespace sgrpo::distributed {

inline void put(c10d::Store& store, const std::string& key, const std::string& text) {
  store.set(key, std::vector<uint8_t>(text.begin(), text.end()));
}

inline bool has(c10d::Store& store, const std::string& key) { return store.check({key}); }

/// Waits for the key if it is not there.
inline std::string get(c10d::Store& store, const std::string& key) {
  const std::vector<uint8_t> bytes = store.get(key);
  return {bytes.begin(), bytes.end()};
}

}  // namespace sgrpo::distributed
