#include "model/decoder.h"

#include "sgrpo/core/json.h"

namespace sgrpo::model {
namespace {

using core::Json;

constexpr int64_t kLargest = int64_t{1} << 32;

/// rope_parameters (transformers 5), else rope_scaling (hub), else null.
const Json* rope_section(const Json& text) {
  if (const Json* section = core::find(text, "rope_parameters")) return section;
  return core::find(text, "rope_scaling");
}

void read_rope(const Json& text, const std::string& where, DecoderConfig& result) {
  result.rope_theta = core::get_double_or(text, "rope_theta", result.rope_theta, where);
  const Json* rope = rope_section(text);
  if (rope == nullptr) return;
  result.rope_theta = core::get_double_or(*rope, "rope_theta", result.rope_theta, where);
  const std::string fallback = core::get_string_or(*rope, "type", "default", where);
  const std::string type = core::get_string_or(*rope, "rope_type", fallback, where);
  if (type != "default" && type != "mrope") {
    throw core::UserError(
        core::str(where, ": rope type '", type, "' is not supported, expected default or mrope"));
  }
  if (core::find(*rope, "mrope_section") != nullptr) {
    result.mrope_section = core::get_int_list(*rope, "mrope_section", where);
  }
}

void check_supported(const Json& config, const Json& text, const std::string& where) {
  if (const Json* quantisation = core::find(config, "quantization_config")) {
    throw core::UserError(
        core::str(where,
                  ": quantised checkpoints (",
                  core::get_string_or(*quantisation, "quant_method", "quantization_config", where),
                  ") are not supported: load the float32 or bfloat16 original"));
  }
  const std::string activation = core::get_string_or(text, "hidden_act", "silu", where);
  if (activation != "silu") {
    throw core::UserError(core::str(where, ": hidden_act is '", activation, "', expected silu"));
  }
  if (core::get_bool_or(text, "use_sliding_window", false, where)) {
    throw core::UserError(core::str(where, ": use_sliding_window is true, which is not supported"));
  }
}

/// The object with the text model's keys, and its place.
std::pair<const Json&, std::string> text_section(const Json& config, const std::string& where) {
  const Json* nested = core::find(config, "text_config");
  if (nested == nullptr) return {config, where};
  return {*nested, where + " (text_config)"};
}

}  // namespace

void read_qwen3_attention(const Json& config, const std::string& where, DecoderConfig& result) {
  const auto [text, place] = text_section(config, where);
  result.has_qk_norm = true;
  result.has_qkv_bias = core::get_bool_or(text, "attention_bias", false, place);
  result.has_output_bias = result.has_qkv_bias;
}

void require_mrope(const Json& config, const std::string& where, const DecoderConfig& result) {
  if (result.mrope_section.empty()) {
    throw core::UserError(
        core::str(where, ": mrope_section is missing (under rope_scaling or rope_parameters)"));
  }
  const auto [text, place] = text_section(config, where);
  const Json* rope = rope_section(text);
  const bool expected = result.mrope_interleaved;
  if (rope != nullptr &&
      core::get_bool_or(*rope, "mrope_interleaved", expected, place) != expected) {
    throw core::UserError(core::str(place,
                                    ": mrope_interleaved is ",
                                    expected ? "false" : "true",
                                    ", which this architecture does not know"));
  }
}

DecoderConfig read_decoder_config(const Json& config,
                                  const std::string& where,
                                  const DecoderDefaults& defaults) {
  const auto section = text_section(config, where);
  const Json& text = section.first;
  const std::string& place = section.second;
  check_supported(config, text, place);
  const auto size = [&](const char* key) { return core::get_int(text, key, place, 1, kLargest); };
  DecoderConfig result;
  result.vocab_size = size("vocab_size");
  result.hidden_size = size("hidden_size");
  result.intermediate_size = size("intermediate_size");
  result.num_layers = size("num_hidden_layers");
  result.num_heads = size("num_attention_heads");
  result.num_kv_heads =
      core::get_int_or(text, "num_key_value_heads", result.num_heads, place, 1, kLargest);
  const int64_t head_dim =
      defaults.head_dim > 0 ? defaults.head_dim : result.hidden_size / result.num_heads;
  result.head_dim = core::get_int_or(text, "head_dim", head_dim, place, 1, kLargest);
  result.max_positions =
      core::get_int_or(text, "max_position_embeddings", 32768, place, 1, kLargest);
  result.rms_norm_eps = core::get_double_or(text, "rms_norm_eps", defaults.rms_norm_eps, place);
  const bool tied = core::get_bool_or(text, "tie_word_embeddings", false, place);
  result.is_tied = core::get_bool_or(config, "tie_word_embeddings", tied, where);
  result.rope_theta = defaults.rope_theta;
  read_rope(text, place, result);
  if (result.num_heads % result.num_kv_heads != 0) {
    throw core::UserError(core::str(place,
                                    ": num_attention_heads is ",
                                    result.num_heads,
                                    ", expected a multiple of num_key_value_heads = ",
                                    result.num_kv_heads));
  }
  if (result.head_dim % 2 != 0) {
    throw core::UserError(
        core::str(place, ": head_dim is ", result.head_dim, ", expected an even number"));
  }
  int64_t sections = 0;
  for (const int64_t part : result.mrope_section) sections += part;
  if (!result.mrope_section.empty() &&
      (result.mrope_section.size() != 3 || sections != result.head_dim / 2)) {
    throw core::UserError(core::str(place,
                                    ": mrope_section is ",
                                    at::IntArrayRef(result.mrope_section),
                                    ", expected three parts that add up to head_dim / 2 = ",
                                    result.head_dim / 2));
  }
  return result;
}

}  // namespace sgrpo::model
