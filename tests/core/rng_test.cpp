#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "sgrpo/core/check.h"
#include "sgrpo/core/rng.h"

namespace sgrpo::core {
namespace {

using Words = std::array<uint32_t, 4>;

// Known answers of Random123 1.14 (kat_vectors).
TEST(Philox, known_counters_and_keys_give_the_published_words) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomKey, every_part_of_the_key_changes_the_value) {
  const RandomKey base{.seed = 1, .step = 2, .prompt_index = 3, .sample_index = 4};
  std::set<uint64_t> values = {base.bits(0), base.bits(1), base.bits(uint64_t{1} << 40)};
  RandomKey key = base;
  key.seed = 2, values.insert(key.bits()), key = base;
  key.seed = uint64_t{1} << 40, values.insert(key.bits()), key = base;
  key.step = 3, values.insert(key.bits()), key = base;
  key.prompt_index = 4, values.insert(key.bits()), key = base;
  key.prompt_index = uint64_t{1} << 40, values.insert(key.bits()), key = base;
  key.sample_index = 5, values.insert(key.bits()), key = base;
  key.sample_index = uint64_t{1} << 40, values.insert(key.bits()), key = base;
  key.purpose = Purpose::kShuffle, values.insert(key.bits()), key = base;
  EXPECT_EQ(values.size(), 11u);
  EXPECT_EQ(base.bits(7), key.bits(7));
}

// Every stored run hangs on this mapping. The values come from a second implementation, which first
// hashes (step with the purpose in its highest byte, prompt_index) under the seed, then counts
// (sample_index, draw) under the result.
TEST(RandomKey, mapping_of_the_key_gives_its_known_answers) {
  const RandomKey key{.seed = 7, .step = 3, .prompt_index = 11, .sample_index = 5};
  EXPECT_EQ(RandomKey{}.bits(), 0x04e7acad27a0f1efu);
  EXPECT_EQ(key.bits(), 0x11f172638c4ff0a4u);
  EXPECT_EQ(key.bits(2), 0x60993d521009a167u);
  const std::vector<std::pair<Purpose, uint64_t>> purposes = {
      {Purpose::kSampling, 0x11f172638c4ff0a4u},
      {Purpose::kShuffle, 0x8b533682894adfa3u},
      {Purpose::kInit, 0x3cf0fb8c50708397u},
      {Purpose::kVictim, 0x3c157b61838ad47cu},
      {Purpose::kInjectionCap, 0xb98428898a1f052bu},
      {Purpose::kMixture, 0xbe0491df06f12708u},
      {Purpose::kAdapter, 0xe8bfe250b8a3a1cfu}};
  for (const auto& [purpose, bits] : purposes) {
    RandomKey other = key;
    other.purpose = purpose;
    EXPECT_EQ(other.bits(), bits) << static_cast<uint32_t>(purpose);
  }
  const RandomKey wide{.seed = 0x0123456789abcdef,
                       .step = 0x0000000fedcba987,
                       .prompt_index = 0x1122334455667788,
                       .sample_index = 0x99aabbccddeeff00,
                       .purpose = Purpose::kShuffle};
  EXPECT_EQ(wide.bits(0x123456789a), 0xd614544f90c89929u);
  EXPECT_EQ(key.uniform(1), 0.15574584491735277);
  EXPECT_EQ(key.below(1000, 1), 155u);
  EXPECT_NEAR(key.normal(1), 0.5230580749729081, 1e-15);
  EXPECT_EQ(permutation(10, {.seed = 8, .step = 1, .purpose = Purpose::kShuffle}),
            (std::vector<int64_t>{9, 4, 1, 2, 0, 5, 7, 3, 8, 6}));
}

TEST(RandomKey, uniform_and_normal_have_their_moments) {
  const RandomKey key{.seed = 5};
  constexpr int kDraws = 20000;
  double sum = 0, normal_sum = 0, normal_squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = key.uniform(static_cast<uint64_t>(i));
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    const double z = key.normal(static_cast<uint64_t>(i));
    normal_sum += z;
    normal_squares += z * z;
  }
  // Five standard errors of each mean.
  EXPECT_NEAR(sum / kDraws, 0.5, 5 * std::sqrt(1.0 / 12 / kDraws));
  EXPECT_NEAR(normal_sum / kDraws, 0.0, 5 * std::sqrt(1.0 / kDraws));
  EXPECT_NEAR(normal_squares / kDraws, 1.0, 5 * std::sqrt(2.0 / kDraws));
}

TEST(RandomKey, below_covers_its_range_and_refuses_zero) {
  const RandomKey key{.seed = 9};
  std::array<int, 6> counts{};
  for (uint64_t i = 0; i < 6000; ++i) ++counts.at(key.below(6, i));
  // Binomial(6000, 1/6) has standard deviation 28.9.
  for (const int count : counts) EXPECT_NEAR(count, 1000, 5 * 28.9);
  EXPECT_EQ(key.below(1, 3), 0u);
  EXPECT_THROW(key.below(0), ContractError);
}

TEST(Permutation, holds_every_index_once_and_depends_on_the_key) {
  const RandomKey key{.seed = 1, .purpose = Purpose::kShuffle};
  std::vector<int64_t> order = permutation(100, key);
  EXPECT_EQ(order, permutation(100, key));
  EXPECT_NE(order, permutation(100, {.seed = 2, .purpose = Purpose::kShuffle}));
  std::sort(order.begin(), order.end());
  for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  EXPECT_TRUE(permutation(0, key).empty());
}

}  // namespace
}  // namespace sgrpo::core
