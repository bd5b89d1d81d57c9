// Counter-based randomness: a value is a pure function of its key, never of the order of calls.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace sgrpo::core {

/// What a random number is for; part of the key, so that two uses never share a stream.
enum class Purpose : uint32_t {
  kSampling = 1,
  kShuffle = 2,
  kInit = 3,
  kVictim = 4,
  kInjectionCap = 5,
  kMixture = 6,
  kAdapter = 9,
  kDrop = 12,
  kLoss = 20,
};

/// Philox4x32-10: four 32-bit words from a 128-bit counter and a 64-bit key.
/// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// The random stream keyed by (seed, step, prompt_index, sample_index, purpose); `draw` selects a
/// value in it.
struct RandomKey {
  uint64_t seed = 0;
  uint64_t step = 0;
  uint64_t prompt_index = 0;
  uint64_t sample_index = 0;
  Purpose purpose = Purpose::kSampling;

  /// 64 uniform bits of the `draw`-th value of this stream.
  uint64_t bits(uint64_t draw = 0) const;
  /// Uniform in [0, 1), 53 bits.
  double uniform(uint64_t draw = 0) const;
  /// Uniform integer in [0, bound), bound >= 1.
  uint64_t below(uint64_t bound, uint64_t draw = 0) const;
  /// Standard normal (Box-Muller on draws 2*draw and 2*draw+1).
  double normal(uint64_t draw = 0) const;
};

/// A permutation of 0..n-1 that depends on the key alone (Fisher-Yates).
std::vector<int64_t> permutation(int64_t n, const RandomKey& key);

}  // namespace sgrpo::core
