// The sampler against sorted softmax in double. A grid of uniforms makes every count predictable:
// inverse transform gives a token N p times, up to the two ends of its interval.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "sgrpo/core/error.h"
#include "sgrpo/ops/ops.h"
#include "testing/expect_close.h"
#include "testing/random_tensor.h"

namespace sgrpo::ops {
namespace {

using sgrpo::testing::expect_bitwise_equal;
using sgrpo::testing::random_normal;
using sgrpo::testing::refusal;

struct Options {
  double temperature = 1.0, top_p = 1.0;
  int64_t top_k = 0;
  bool greedy = false;
  std::vector<int64_t> masked = {};
};

SampledTokens sample(const at::Tensor& logits, const at::Tensor& uniform, const Options& options) {
  const at::Tensor masked =
      options.masked.empty() ? at::empty({0}, at::kLong) : at::tensor(options.masked, at::kLong);
  return sample_tokens(logits,
                       uniform,
                       masked,
                       {.temperature = options.temperature,
                        .top_p = options.top_p,
                        .top_k = options.top_k,
                        .greedy = options.greedy});
}

/// log p of every id under the full distribution.
std::vector<double> full_logprobs(const at::Tensor& row, const Options& options) {
  at::Tensor x = row.to(at::kDouble).clone();
  for (const int64_t id : options.masked) x[id] = -std::numeric_limits<double>::infinity();
  const at::Tensor log_p = at::log_softmax(x / options.temperature, 0);
  return {log_p.const_data_ptr<double>(), log_p.const_data_ptr<double>() + log_p.numel()};
}

/// Probabilities of the restricted choice: top_k first, top_p of what it leaves; ties stay.
std::vector<double> restricted(const at::Tensor& row, const Options& options) {
  std::vector<double> p = full_logprobs(row, options);
  for (double& x : p) x = std::exp(x);
  std::vector<double> sorted = p;
  std::sort(sorted.rbegin(), sorted.rend());
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(p.size())) {
    const double border = sorted[static_cast<size_t>(options.top_k - 1)];
    for (double& x : p) x = x >= border ? x : 0.0;
  }
  const double kept = std::accumulate(p.begin(), p.end(), 0.0);
  sorted = p;
  std::sort(sorted.rbegin(), sorted.rend());
  double total = 0.0, border = 0.0;
  for (const double x : sorted) {
    total += x, border = x;
    if (total >= options.top_p * kept) break;
  }
  if (options.top_p < 1.0)
    for (double& x : p) x = x >= border ? x : 0.0;
  const double remaining = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= remaining;
  return p;
}

constexpr int64_t kGrid = 5'000;

at::Tensor uniform_grid() {
  return (at::arange(kGrid, at::kDouble) + 0.5) / static_cast<double>(kGrid);
}

void expect_frequencies(const at::Tensor& row, const Options& options, const std::string& what) {
  const auto [ids, logprobs, entropy] =
      sample(row.unsqueeze(0).expand({kGrid, row.size(0)}).contiguous(), uniform_grid(), options);
  const auto p = restricted(row, options), log_p = full_logprobs(row, options);
  std::vector<int64_t> counts(p.size(), 0);
  const int64_t* id = ids.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < kGrid; ++i) {
    ++counts[static_cast<size_t>(id[i])];
    ASSERT_NEAR(logprobs[i].item<double>(), log_p[static_cast<size_t>(id[i])], 2e-6) << what;
    ASSERT_TRUE(i == 0 || id[i] >= id[i - 1]) << what << ": ids are not walked in order at " << i;
  }
  double chi_square = 0.0;
  for (size_t j = 0; j < p.size(); ++j) {
    const double expected = p[j] * static_cast<double>(kGrid),
                 count = static_cast<double>(counts[j]);
    // One grid point at either end of the interval, and rounding of the cumulative f32 weights.
    EXPECT_NEAR(count, expected, 1.01 + 1e-6 * static_cast<double>(kGrid)) << what << ", id " << j;
    EXPECT_TRUE(p[j] > 0.0 || counts[j] == 0) << what << ", id " << j;
    if (expected > 0.0)
      chi_square += (count - expected) * (count - expected) / std::max(expected, 1.0);
  }
  EXPECT_LT(chi_square, static_cast<double>(p.size())) << what;  // random draws would give about V
}

TEST(SampleTokens, frequencies_follow_the_restricted_distribution) {
  const at::Tensor row = random_normal({61}, 4).to(at::kFloat) * 2.0f;
  expect_frequencies(row, {}, "plain");
  expect_frequencies(row, {.temperature = 0.5}, "cold");
  expect_frequencies(row, {.temperature = 3.0, .masked = {0, 7, 60}}, "hot, masked");
  expect_frequencies(row, {.top_k = 5}, "top_k");
  expect_frequencies(row, {.top_p = 0.6}, "top_p");
  expect_frequencies(row, {.temperature = 1.7, .top_p = 0.8, .top_k = 20, .masked = {3}}, "both");
  expect_frequencies(row, {.top_p = 1e-9}, "tiny top_p");
  expect_frequencies(row, {.top_k = 1}, "top_k of one");
}

TEST(SampleTokens, a_vocabulary_of_several_chunks_is_walked_whole) {
  const at::Tensor row = random_normal({2500}, 9).to(at::kFloat);
  expect_frequencies(row, {}, "three chunks");
  expect_frequencies(row, {.top_p = 0.9, .top_k = 1500, .masked = {1023, 1024, 2499}}, "cut");
}

TEST(SampleTokens, ties_at_the_border_stay) {
  const at::Tensor row = at::tensor({1.0f, 3.0f, 1.0f, 1.0f, 0.0f});
  expect_frequencies(row, {.top_k = 2}, "top_k ties");
  expect_frequencies(row, {.top_p = 0.75}, "top_p ties");
  EXPECT_GT(restricted(row, {.top_k = 2})[3], 0.0);
}

TEST(SampleTokens, greedy_takes_the_largest_and_of_equals_the_lowest_id) {
  const at::Tensor logits =
      at::tensor({0.f, 5.f, 5.f, 1.f, 9.f, 1.f, 9.f, 9.f, -1.f, -1.f, -1.f, -1.f}).view({3, 4});
  const auto [ids, logprobs, entropy] =
      sample(logits, at::zeros({3}, at::kDouble), {.greedy = true});
  expect_bitwise_equal(ids, at::tensor({1, 0, 0}, at::kLong));
  EXPECT_NEAR(logprobs[2].item<double>(), -std::log(4.0), 1e-6);
  const auto [masked_ids, masked_logprobs, masked_entropy] =
      sample(logits, at::zeros({3}, at::kDouble), {.greedy = true, .masked = {0, 1}});
  expect_bitwise_equal(masked_ids, at::tensor({2, 2, 2}, at::kLong));
  EXPECT_NEAR(masked_logprobs[2].item<double>(), -std::log(2.0), 1e-6);
  // The distribution's own, whatever the choice: four equal ids, then two.
  EXPECT_NEAR(entropy[2].item<double>(), std::log(4.0), 1e-6);
  EXPECT_NEAR(masked_entropy[2].item<double>(), std::log(2.0), 1e-6);
}

// -sum p log p in double over the whole masked and tempered distribution: top_k, top_p and greedy
// choose from it and leave it as it is. 2e-6: f32 sums of at most 2500 terms, entropies below 8.
TEST(SampleTokens, the_entropy_is_that_of_the_full_distribution) {
  for (const int64_t vocab : {61, 2500}) {
    const at::Tensor row = random_normal({vocab}, 14).to(at::kFloat) * 2.0f;
    for (const Options& options : {Options{},
                                   Options{.temperature = 0.5},
                                   Options{.temperature = 3.0, .masked = {0, 7, 60}},
                                   Options{.temperature = 0.9, .top_p = 0.6, .top_k = 5},
                                   Options{.greedy = true, .masked = {1}}}) {
      double expected = 0.0;
      for (const double log_p : full_logprobs(row, options)) {
        if (std::isfinite(log_p)) expected -= std::exp(log_p) * log_p;
      }
      const SampledTokens got = sample(row.unsqueeze(0), at::full({1}, 0.5, at::kDouble), options);
      EXPECT_NEAR(got.entropy.item<double>(), expected, 2e-6 * std::max(1.0, expected)) << vocab;
    }
  }
}

TEST(SampleTokens, the_ends_of_the_unit_interval_give_the_first_and_last_candidate) {
  const at::Tensor row =
      random_normal({40}, 2).to(at::kFloat).unsqueeze(0).expand({2, 40}).contiguous();
  const at::Tensor ends = at::tensor({0.0, std::nextafter(1.0, 0.0)}, at::kDouble);
  const auto [ids, logprobs, entropy] = sample(row, ends, {.masked = {0, 1, 38, 39}});
  expect_bitwise_equal(ids, at::tensor({2, 37}, at::kLong));
}

TEST(SampleTokens, a_row_does_not_depend_on_its_batch) {
  const at::Tensor logits = random_normal({37, 700}, 5).to(at::kFloat);
  const at::Tensor uniform = at::rand({37}, at::kDouble);
  const Options options{.temperature = 0.9, .top_p = 0.95, .top_k = 100, .masked = {17}};
  const auto [ids, logprobs, entropy] = sample(logits, uniform, options);
  for (int64_t i = 0; i < 37; ++i) {
    const auto [id, logprob, own_entropy] =
        sample(logits.slice(0, i, i + 1), uniform.slice(0, i, i + 1), options);
    expect_bitwise_equal(id[0], ids[i]);
    expect_bitwise_equal(logprob[0], logprobs[i]);
    expect_bitwise_equal(own_entropy[0], entropy[i]);
  }
}

TEST(SampleTokens, the_sampler_and_the_output_layer_give_one_logprob) {
  const at::Tensor hidden = random_normal({5, 16}, 6).to(at::kFloat);
  const at::Tensor weight = random_normal({333, 16}, 7).to(at::kFloat);
  const at::Tensor masked = at::tensor({3, 332}, at::kLong);
  const auto [ids, logprobs, entropy] =
      sample_tokens(at::mm(hidden, weight.t()),
                    at::full({5}, 0.37, at::kDouble),
                    masked,
                    {.temperature = 0.8, .top_p = 0.9, .top_k = 50});
  const auto [scored, scored_entropy] = linear_logprob(hidden, weight, ids, masked, 0.8);
  sgrpo::testing::expect_close(logprobs, scored, 2e-6);
  sgrpo::testing::expect_close(entropy, scored_entropy, 5e-6);
}

TEST(SampleTokens, broken_arguments_are_named) {
  const at::Tensor logits = at::zeros({2, 5}), uniform = at::zeros({2}, at::kDouble);
  const auto error = [&](const at::Tensor& x, const at::Tensor& u, const Options& options) {
    return refusal([&] { sample(x, u, options); });
  };
  EXPECT_EQ(error(logits, uniform, {}), "");
  EXPECT_EQ(error(logits[0], uniform, {}), "logits has shape [5], expected [B, V]");
  EXPECT_EQ(error(logits, uniform.to(at::kFloat), {}), "uniform must be [B] f64 with B = 2");
  EXPECT_EQ(error(logits, uniform.slice(0, 0, 1), {}), "uniform must be [B] f64 with B = 2");
  EXPECT_EQ(error(logits, uniform, {.temperature = 0}),
            "temperature is 0, expected > 0 (greedy is a flag)");
  EXPECT_EQ(error(logits, uniform, {.masked = {0, 1, 2, 3, 4}}),
            "masked_ids leave none of the 5 ids to sample");
}

}  // namespace
}  // namespace sgrpo::ops
