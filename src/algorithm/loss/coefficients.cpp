#include "sgrpo/algorithm/coefficients.h"

#include <algorithm>
#include <optional>

#include "sgrpo/algorithm/method.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"

namespace sgrpo::algorithm {
namespace {

/// Most that the relative error of one optimizer step counts; verl's.
constexpr double kMostKlError = 0.2;

struct KlTarget {
  double target = 0.1, horizon = 10000.0;
};

struct EntropyTarget {
  double target = 0.2, delta = 0.005, min = 0.0, max = 1.0;
};

void check_is_object(const core::Json& json, const std::string& key, const char* expected) {
  if (json.is_object()) return;
  throw core::UserError(core::str(
      key, " is ", core::printable(core::dump_ascii(json)), ", expected null or ", expected));
}

std::optional<KlTarget> read_kl_target(const core::Json& json) {
  if (json.is_null()) return std::nullopt;
  const std::string key = "algorithm.kl_adaptive";
  check_is_object(json, key, "{target: 0.1, horizon: 10000}");
  MethodParams params(json, key);
  KlTarget result;
  result.target = params.number("target", result.target, 1e-9, 1e6);
  result.horizon = params.number("horizon", result.horizon, 1.0, 1e12);
  params.finish();
  return result;
}

std::optional<EntropyTarget> read_entropy_target(const core::Json& json) {
  if (json.is_null()) return std::nullopt;
  const std::string key = "algorithm.adaptive_entropy";
  check_is_object(json, key, "{target: 0.2, delta: 0.005, min: 0, max: 1}");
  MethodParams params(json, key);
  EntropyTarget result;
  result.target = params.number("target", result.target, 0.0, 1e3);
  result.delta = params.number("delta", result.delta, 0.0, 1e3);
  result.min = params.number("min", result.min, 0.0, 1e3);
  result.max = params.number("max", result.max, result.min, 1e3);
  params.finish();
  return result;
}

}  // namespace

bool has_moving_coefficient(const AlgorithmOptions& options) {
  return !options.kl_adaptive.is_null() || !options.adaptive_entropy.is_null();
}

Coefficients first_coefficients(const AlgorithmOptions& options) {
  return {.kl = options.kl_coef, .entropy = options.entropy_coef};
}

Coefficients follow(Coefficients coefficients,
                    const Measured& measured,
                    const AlgorithmOptions& options) {
  if (measured.tokens == 0.0) return coefficients;
  if (const auto kl = read_kl_target(options.kl_adaptive)) {
    const double error = measured.kl / measured.tokens / kl->target - 1.0;
    coefficients.kl *=
        1.0 + std::clamp(error, -kMostKlError, kMostKlError) * measured.completions / kl->horizon;
  }
  if (const auto entropy = read_entropy_target(options.adaptive_entropy)) {
    coefficients.last_entropy = measured.entropy / measured.tokens;
    const bool is_low = coefficients.last_entropy <= entropy->target;
    coefficients.entropy =
        std::clamp(coefficients.entropy + (is_low ? entropy->delta : -entropy->delta),
                   entropy->min,
                   entropy->max);
  }
  return coefficients;
}

AlgorithmOptions with_coefficients(AlgorithmOptions options, const Coefficients& coefficients) {
  if (!options.kl_adaptive.is_null()) options.kl_coef = coefficients.kl;
  if (const auto entropy = read_entropy_target(options.adaptive_entropy)) {
    options.entropy_coef =
        coefficients.last_entropy <= entropy->target ? coefficients.entropy : 0.0;
  }
  return options;
}

void check_coefficients(const AlgorithmOptions& options, int64_t completions) {
  const auto kl = read_kl_target(options.kl_adaptive);
  if (kl && options.kl_coef == 0.0) {
    throw core::UserError(
        "algorithm.kl_adaptive is set, and algorithm.kl_coef is 0, which no factor moves: expected "
        "a kl_coef above 0 to begin with");
  }
  const double least = kMostKlError * static_cast<double>(completions);
  if (kl && kl->horizon <= least) {
    throw core::UserError(core::str("algorithm.kl_adaptive.horizon is ",
                                    kl->horizon,
                                    ", expected more than ",
                                    least,
                                    " (0.2 x ",
                                    completions,
                                    " completions of an optimizer step): the coefficient would "
                                    "not stay above 0"));
  }
  const auto entropy = read_entropy_target(options.adaptive_entropy);
  if (!entropy) return;
  if (options.entropy_coef < entropy->min || options.entropy_coef > entropy->max) {
    throw core::UserError(core::str("algorithm.entropy_coef is ",
                                    options.entropy_coef,
                                    ", where algorithm.adaptive_entropy begins: expected a number "
                                    "in its [min, max] = [",
                                    entropy->min,
                                    ", ",
                                    entropy->max,
                                    "]"));
  }
}

}  // namespace sgrpo::algorithm
