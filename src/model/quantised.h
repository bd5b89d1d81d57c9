// Checkpoints of fewer bits, which are not read.
#pragma once

#include <string>
#include <vector>

#include "sgrpo/core/json.h"

namespace sgrpo::model {

/// What to say of a config.json whose quantization_config outlived the quantisation (a merged QLoRA
/// run); empty if it has none. Tensors decide: ask after refuse_quantised.
std::string leftover_quantisation(const core::Json& config, const std::string& where);

/// Throws core::UserError naming a tensor that only quantised checkpoints have (packed weights,
/// scales, zero points), whatever config.json says.
void refuse_quantised(const std::vector<std::string>& tensors, const std::string& where);

}  // namespace sgrpo::model
