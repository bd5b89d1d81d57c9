// The slow twin of optim::AdamW: plain loops in double, straight from arXiv 1711.05101 (Algorithm
// 2, schedule multiplier in lr).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sgrpo::reference {

struct AdamW {
  struct Parameter {
    std::vector<double> value, exp_avg, exp_avg_sq;
    double weight_decay = 0.0;
  };
  double beta1 = 0.9, beta2 = 0.999, eps = 1.0e-8;
  double max_grad_norm = 0.0;  // 0 = off
  int64_t count = 0;
  std::vector<Parameter> parameters;

  void add(const std::vector<double>& value, double weight_decay) {
    const std::vector<double> zeros(value.size(), 0.0);
    parameters.push_back({value, zeros, zeros, weight_decay});
  }

  /// One update; returns the norm before clipping.
  double step(const std::vector<std::vector<double>>& grads, double lr) {
    double squares = 0.0;
    for (const auto& grad : grads) {
      for (const double g : grad) squares += g * g;
    }
    const double norm = std::sqrt(squares);
    double clip = 1.0;
    if (max_grad_norm > 0.0) clip = std::fmin(1.0, max_grad_norm / (norm + 1.0e-6));
    ++count;
    const double correction1 = 1.0 - std::pow(beta1, static_cast<double>(count));
    const double correction2 = 1.0 - std::pow(beta2, static_cast<double>(count));
    for (size_t i = 0; i < parameters.size(); ++i) {
      Parameter& p = parameters[i];
      for (size_t j = 0; j < p.value.size(); ++j) {
        const double g = grads[i][j] * clip;
        p.value[j] *= 1.0 - lr * p.weight_decay;
        p.exp_avg[j] = beta1 * p.exp_avg[j] + (1.0 - beta1) * g;
        p.exp_avg_sq[j] = beta2 * p.exp_avg_sq[j] + (1.0 - beta2) * g * g;
        const double mean = p.exp_avg[j] / correction1;
        const double spread = std::sqrt(p.exp_avg_sq[j] / correction2);
        p.value[j] -= lr * mean / (spread + eps);
      }
    }
    return norm;
  }
};

}  // namespace sgrpo::reference
