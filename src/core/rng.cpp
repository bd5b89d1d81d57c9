#include "sgrpo/core/rng.h"

#include <cmath>
#include <numbers>
#include <numeric>

#include "sgrpo/core/check.h"

namespace sgrpo::core {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * counter[0];
    const uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

uint64_t RandomKey::bits(uint64_t draw) const {
  // Two rounds: the first hashes the long key (seed, purpose, step, prompt) to 64 bits, the second
  // counts (sample, draw) under it. Philox is a bijection per key, so streams of one prompt never
  // collide.
  const auto low = [](uint64_t v) { return static_cast<uint32_t>(v); };
  const auto high = [](uint64_t v) { return static_cast<uint32_t>(v >> 32); };
  const auto stream = philox4x32({low(step),
                                  high(step) ^ static_cast<uint32_t>(purpose) << 24,
                                  low(prompt_index),
                                  high(prompt_index)},
                                 {low(seed), high(seed)});
  const auto value = philox4x32(
      {low(sample_index), high(sample_index) ^ stream[2], low(draw), high(draw) ^ stream[3]},
      {stream[0], stream[1]});
  return static_cast<uint64_t>(value[0]) << 32 | value[1];
}

double RandomKey::uniform(uint64_t draw) const {
  return static_cast<double>(bits(draw) >> 11) * 0x1.0p-53;
}

uint64_t RandomKey::below(uint64_t bound, uint64_t draw) const {
  SGRPO_CHECK(bound >= 1, "RandomKey::below: bound is 0, expected >= 1");
  // The bias of the multiply-shift is below bound / 2^64.
  return static_cast<uint64_t>(static_cast<unsigned __int128>(bits(draw)) * bound >> 64);
}

double RandomKey::normal(uint64_t draw) const {
  const double u = 1.0 - uniform(2 * draw);  // in (0, 1]: the logarithm stays finite
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * uniform(2 * draw + 1));
}

std::vector<int64_t> permutation(int64_t n, const RandomKey& key) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t i = n - 1; i > 0; --i) {
    const auto j = key.below(static_cast<uint64_t>(i) + 1, static_cast<uint64_t>(i));
    std::swap(order[static_cast<size_t>(i)], order[j]);
  }
  return order;
}

}  // namespace sgrpo::core
