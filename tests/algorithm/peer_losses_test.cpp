// Losses and gradients against those of TRL's trainer and verl's functions on the same tensors, in
// float64. tests/golden/algorithm/make_*_losses.py wrote the rows.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/config/binder.h"

namespace sgrpo::algorithm {
namespace {

using Doubles = std::vector<double>;

Doubles numbers(const core::Json& values) {
  Doubles result;
  for (const core::Json& value : values)
    result.push_back(value.is_null() ? std::nan("") : value.get<double>());
  return result;
}

/// The sequences of a batch, with their sampler's log-probs.
LossCase case_of(const core::Json& batch, const core::Json& told) {
  std::vector<reference::Sequence> sequences;
  Doubles sampler;
  for (size_t b = 0; b < batch["policy"].size(); ++b) {
    sequences.push_back({.policy = numbers(batch["policy"][b]),
                         .old = numbers(batch["old"][b]),
                         .ref = numbers(batch["ref"][b]),
                         .entropy = numbers(batch["entropy"][b]),
                         .advantage = batch["advantages"][b].get<double>()});
    for (const double value : numbers(batch["sampler"][b])) sampler.push_back(value);
  }
  LossCase result = make_loss_case(sequences);
  if (told.value("on_policy", false)) result.batch.old_logprobs = at::Tensor();
  if (told.value("sampler", false) || told.contains("mode"))
    result.batch.sampler_logprobs = at::tensor(sampler, at::kDouble);
  return result;
}

LossSettings settings_of(const core::Json& algorithm) {
  LossSettings settings;
  config::bind(config::parse_yaml(algorithm.dump(), "golden"), settings.algorithm);
  check_loss(settings.algorithm, settings.injection);
  settings.aggregation_constant = settings.algorithm.aggregation_constant.value_or(1.0);
  return settings;
}

/// Largest difference of loss and gradient, relative to the largest expected number.
double difference(const LossCase& loss_case, const LossSettings& settings, const core::Json& row) {
  const LossResult result = loss_of(loss_case, settings);
  const at::Tensor expected = at::tensor(numbers(row["gradient"]), at::kDouble);
  const double loss = row["loss"].get<double>();
  const double gradient_error =
      (gradient_of(result, loss_case) - expected).abs().max().item<double>();
  const double scale = std::max(expected.abs().max().item<double>(), 1e-12);
  return std::max(std::abs(result.loss.item<double>() - loss) / std::max(std::abs(loss), 1.0),
                  gradient_error / std::max(scale, 1e-3));
}

/// Compares every row and returns their number.
int64_t compare(const std::string& file) {
  std::vector<core::Json> batches;
  int64_t rows = 0;
  for (const core::Json& row : golden_rows(file)) {
    if (row.contains("batch")) {
      batches.push_back(row["batch"]);
      continue;
    }
    const core::Json& told = row.contains("trl") ? row["trl"] : row["verl"];
    const double error = difference(
        case_of(batches.at(row["of"].get<size_t>()), told), settings_of(row["algorithm"]), row);
    EXPECT_LE(error, 1e-6) << row["algorithm"].dump();
    ++rows;
  }
  return rows;
}

TEST(PeerLosses, every_loss_type_and_option_of_trl_agrees) {
  EXPECT_EQ(compare("trl_losses.jsonl"), 82);
}

TEST(PeerLosses, those_of_verl_agree_where_nothing_is_drawn) {
  EXPECT_EQ(compare("verl_losses.jsonl"), 20);
}

}  // namespace
}  // namespace sgrpo::algorithm
