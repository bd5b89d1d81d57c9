// Qwen3 without vision: every head of queries and keys is normed before it turns.
#include "model/family.h"

namespace sgrpo::model::qwen3 {
namespace {

DecoderConfig text_config(const core::Json& config, const std::string& where) {
  DecoderConfig result = read_decoder_config(config, where, {.head_dim = 128});
  read_qwen3_attention(config, where, result);
  return result;
}

constexpr FamilyParts kParts = {.model_type = "qwen3", .text = text_config};

Family family() { return make_family<kParts>(); }

}  // namespace

SGRPO_REGISTER_MODEL("qwen3", family);

}  // namespace sgrpo::model::qwen3
