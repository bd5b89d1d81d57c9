#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

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
