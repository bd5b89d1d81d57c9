// Checkpoints of fewer bits, which are not read.
#pragma once

#include <string>
#include <vector>

#include "sgrpo/core/json.h"

namespace sgrpo::model {

/// Throws core::UserError naming the method where config.json has a quantization_config.
void refuse_quantised(const core::Json& config, const std::string& where);

/// Throws core::UserError naming a tensor that only quantised checkpoints have (packed weights,
/// scales, zero points), for those whose config.json does not say so.
void refuse_quantised(const std::vector<std::string>& tensors, const std::string& where);

}  // namespace sgrpo::model
