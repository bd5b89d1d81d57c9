// Section `model.lora`: low-rank adapters that train instead of the weights.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sgrpo/core/json.h"

namespace sgrpo::model {

/// Which linear layers get an addition of low rank, and how large it is: y += alpha / rank B A x
/// with A [rank, in] and B [out, rank], B zero at the start.
/// Source: arXiv 2106.09685; words and defaults as PEFT and TRL.
struct LoraOptions {
  int64_t rank = 16;
  double alpha = 32.0;
  /// Layers by the end of their path ("q_proj", "mlp.down_proj"); empty = all-linear: every linear
  /// layer but the output matrix.
  std::vector<std::string> targets;
};

/// `model.lora` of a configuration; nothing for null. Throws config::ConfigError naming the key,
/// what was found and what is expected.
std::optional<LoraOptions> read_lora(const core::Json& lora);

}  // namespace sgrpo::model
