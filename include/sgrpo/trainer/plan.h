// RunConfig + config.json -> where a run's memory goes, before anything is allocated.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sgrpo/trainer/run_config.h"

namespace sgrpo::trainer {

/// When a piece of memory is held.
enum class Phase { kAlways, kRollout, kUpdate };

/// always, rollout, update
std::string_view to_string(Phase phase);

/// One component of the budget.
struct MemoryPart {
  std::string name;
  Phase phase = Phase::kAlways;
  uint64_t bytes = 0;
  std::string formula;  // how the bytes come about, with the numbers
};

/// A run's memory at its worst, of one process.
struct MemoryPlan {
  std::vector<MemoryPart> parts;
  int64_t num_parameters = 0, num_trainable = 0;
  std::string device;  // cpu or cuda
  std::string dtype;   // of the weights

  /// Sum of the parts of one phase.
  uint64_t bytes_of(Phase phase) const;
  /// What is always held and the larger of the two phases.
  uint64_t peak_bytes() const;
};

/// Plans `train cfg.yaml`. Reads config.json, the image processor and the headers of the weights,
/// never the weights. Sizes that the configuration fixes are exact (weights, gradients, AdamW,
/// reference, KV cache); activations are estimated for a micro-batch of the longest sequences, each
/// prompt with one image of the largest size. Left out: the program and its libraries (about 0.5
/// GB), the data files' rows, and buffers of matrix products.
/// Throws core::UserError as opening the model would.
MemoryPlan plan_memory(const RunConfig& config);

}  // namespace sgrpo::trainer
