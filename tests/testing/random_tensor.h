// Random tensors that depend on their seed alone, on every machine.
#pragma once

#include <ATen/ATen.h>

#include "sgrpo/core/rng.h"

namespace sgrpo::testing {

/// Standard normal f64 of the given shape.
inline at::Tensor random_normal(at::IntArrayRef shape, uint64_t seed) {
  at::Tensor result = at::empty(shape, at::kDouble);
  double* values = result.mutable_data_ptr<double>();
  const core::RandomKey key{.seed = seed};
  for (int64_t i = 0; i < result.numel(); ++i) values[i] = key.normal(static_cast<uint64_t>(i));
  return result;
}

/// Uniform integers in [0, bound), i64.
inline at::Tensor random_ids(at::IntArrayRef shape, int64_t bound, uint64_t seed) {
  at::Tensor result = at::empty(shape, at::kLong);
  int64_t* values = result.mutable_data_ptr<int64_t>();
  const core::RandomKey key{.seed = seed};
  for (int64_t i = 0; i < result.numel(); ++i) {
    values[i] =
        static_cast<int64_t>(key.below(static_cast<uint64_t>(bound), static_cast<uint64_t>(i)));
  }
  return result;
}

/// The message of the c10::Error that `call` throws; empty when it throws none.
template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

}  // namespace sgrpo::testing
