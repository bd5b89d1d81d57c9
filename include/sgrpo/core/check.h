// Contract checks for code without torch headers. Rooms with tensors use TORCH_CHECK_*.
#pragma once

#include "sgrpo/core/error.h"

/// Throws core::ContractError with `file:line` and the message when a caller broke a contract.
#define SGRPO_CHECK(condition, ...)                                                               \
  do {                                                                                            \
    if (!(condition)) [[unlikely]] {                                                              \
      throw ::sgrpo::core::ContractError(                                                         \
          ::sgrpo::core::str(__VA_ARGS__, " [", __FILE__, ":", __LINE__, ": ", #condition, "]")); \
    }                                                                                             \
  } while (false)

/// Marks a state that only a bug in sgrpo itself can reach.
#define SGRPO_INTERNAL(condition, ...) \
  SGRPO_CHECK(condition, "internal error, please report: ", __VA_ARGS__)
