// Llama and what has its architecture, SmolLM2 among them: biases on all four projections of
// attention or on none.
#include "model/family.h"
#include "sgrpo/core/json.h"

namespace sgrpo::model::llama {
namespace {

DecoderConfig text_config(const core::Json& config, const std::string& where) {
  if (core::get_bool_or(config, "mlp_bias", false, where)) {
    throw core::UserError(
        core::str(where, ": mlp_bias is true, expected false: no family here has such biases"));
  }
  DecoderConfig result = read_decoder_config(config, where);
  result.has_qkv_bias = core::get_bool_or(config, "attention_bias", false, where);
  result.has_output_bias = result.has_qkv_bias;
  return result;
}

constexpr FamilyParts kParts = {.model_type = "llama", .text = text_config};

Family family() { return make_family<kParts>(); }

}  // namespace

SGRPO_REGISTER_MODEL("llama", family);

}  // namespace sgrpo::model::llama
