#include "kernels/sample/sample.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/common/vec.h"
#include "kernels/row_logprob/row_logprob.h"

namespace sgrpo::kernels {
namespace {

constexpr int64_t kChunk = 1024;

int64_t argmax(const float* row, int64_t n) { return std::max_element(row, row + n) - row; }

/// The smallest logit that top_k and top_p let through.
float border(const float* row, const SampleParams& params, double lse) {
  float lowest = -std::numeric_limits<float>::infinity();
  std::vector<float> sorted(row, row + params.vocab);
  if (params.top_k > 0 && params.top_k < params.vocab) {
    std::nth_element(
        sorted.begin(), sorted.begin() + (params.top_k - 1), sorted.end(), std::greater<>());
    lowest = sorted[static_cast<size_t>(params.top_k - 1)];
  }
  if (params.top_p >= 1.0) return lowest;
  std::erase_if(sorted, [&](float logit) { return logit < lowest; });
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const auto probability = [&](float logit) {
    return std::exp(static_cast<double>(logit) * static_cast<double>(params.inverse_temperature) -
                    lse);
  };
  double kept = 0.0;
  for (const float logit : sorted) kept += probability(logit);
  double total = 0.0;
  for (const float logit : sorted) {  // the token that crosses top_p still belongs to the nucleus
    total += probability(logit);
    lowest = logit;
    if (total >= params.top_p * kept) break;
  }
  return lowest;
}

/// weights[j] = exp(logit / T - lse) of the candidates, 0 elsewhere; `sums` receives the sum of
/// every chunk.
SGRPO_MULTIVERSION
void candidate_weights(const float* row,
                       const SampleParams& params,
                       float lse,
                       float lowest,
                       float* weights,
                       std::vector<double>& sums) {
  for (int64_t begin = 0; begin < params.vocab; begin += kChunk) {
    const int64_t end = std::min(params.vocab, begin + kChunk);
    double total = 0.0;
    int64_t j = begin;
    Vec lanes{};
    for (; j + kLanes <= end; j += kLanes) {
      const Vec logit = load(row + j);
      const Vec weight = exp(logit * params.inverse_temperature - lse);
      const Vec kept = logit >= lowest ? weight : Vec{};
      store(weights + j, kept);
      lanes += kept;
    }
    total += static_cast<double>(sum(lanes));
    for (; j < end; ++j) {
      const float weight = std::exp(row[j] * params.inverse_temperature - lse);
      weights[j] = row[j] >= lowest ? weight : 0.0f;
      total += static_cast<double>(weights[j]);
    }
    sums.push_back(total);
  }
}

/// Inverse transform: the chunk first, then the token in it.
int64_t draw(const float* row, const SampleParams& params, float lse, double uniform) {
  const bool is_cut = params.top_p < 1.0 || (params.top_k > 0 && params.top_k < params.vocab);
  const float lowest = is_cut ? border(row, params, static_cast<double>(lse))
                              : -std::numeric_limits<float>::infinity();
  std::vector<float> weights(static_cast<size_t>(params.vocab));
  std::vector<double> sums;
  candidate_weights(row, params, lse, lowest, weights.data(), sums);
  double target = uniform * std::accumulate(sums.begin(), sums.end(), 0.0);
  int64_t last = -1;  // the last candidate with weight: what rounding may leave over
  for (size_t chunk = 0; chunk < sums.size(); ++chunk) {
    if (target >= sums[chunk] && chunk + 1 < sums.size()) {
      target -= sums[chunk];
      continue;
    }
    const int64_t begin = static_cast<int64_t>(chunk) * kChunk;
    for (int64_t j = begin; j < std::min(params.vocab, begin + kChunk); ++j) {
      const double weight = static_cast<double>(weights[static_cast<size_t>(j)]);
      if (weight == 0.0) continue;
      last = j;
      if (target < weight) return j;
      target -= weight;
    }
  }
  return last >= 0 ? last : argmax(row, params.vocab);
}

}  // namespace

void sample_cpu(const SampleParams& params, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const float* row = params.logits + i * params.vocab;
    float lse = 0.0f, logprob = 0.0f, entropy = 0.0f;
    int64_t label = argmax(row, params.vocab);
    RowLogprobParams one;
    one.logits = row;
    one.labels = &label;
    one.num_rows = 1;
    one.vocab = params.vocab;
    one.inverse_temperature = params.inverse_temperature;
    one.logprobs = &logprob;
    one.entropy = &entropy;
    one.lse = &lse;
    row_logprob_forward_cpu(one, 0, 1);
    if (!params.greedy) {
      label = draw(row, params, lse, params.uniform[i]);
      logprob = row[label] * params.inverse_temperature - lse;
    }
    params.ids[i] = label;
    params.logprobs[i] = logprob;
    params.entropy[i] = entropy;
  }
}

}  // namespace sgrpo::kernels
