// Qwen2 and Qwen2.5 without vision: biases on queries, keys and values.
#include "model/family.h"

namespace sgrpo::model::qwen2 {
namespace {

DecoderConfig text_config(const core::Json& config, const std::string& where) {
  DecoderConfig result = read_decoder_config(config, where);
  result.has_qkv_bias = true;
  return result;
}

constexpr FamilyParts kParts = {.model_type = "qwen2", .text = text_config};

Family family() { return make_family<kParts>(); }

}  // namespace

SGRPO_REGISTER_MODEL("qwen2", family);

}  // namespace sgrpo::model::qwen2
