#include <ATen/core/Tensor.h>

#include <algorithm>
#include <numeric>

#include "model/decoder.h"
#include "sgrpo/core/json.h"

namespace sgrpo::model {
namespace {

using core::Json;

// Far above every published model; what is larger is damage, and its products would overflow.
constexpr int64_t kMaxSize = int64_t{1} << 24;
constexpr int64_t kMaxRows = int64_t{1} << 28;
constexpr int64_t kMaxHead = int64_t{1} << 16;

/// rope_scaling (hub), else rope_parameters (transformers 5), else null. Where a file has both,
/// transformers takes the former, too.
const Json* rope_section(const Json& text, const std::string& where) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (core::find(text, key) == nullptr) continue;
    const Json& section = core::get_object(text, key, where);
    for (const char* kind : {"full_attention", "sliding_attention"}) {
      if (!section.contains(kind)) continue;
      throw core::UserError(core::str(where,
                                      ": ",
                                      key,
                                      " has settings for each kind of layer ('",
                                      kind,
                                      "'), expected one for all layers"));
    }
    return &section;
  }
  return nullptr;
}

/// A number of config.json, `fallback` where it is absent. Throws unless low <= it < high.
double read_number(const Json& object,
                   const char* key,
                   double fallback,
                   double low,
                   double high,
                   const std::string& where) {
  const double value = core::get_double_or(object, key, fallback, where);
  if (value >= low && value < high) return value;
  throw core::UserError(
      core::str(where, ": ", key, " is ", value, ", expected at least ", low, " and below ", high));
}

void read_rope(const Json& text, const std::string& where, DecoderConfig& result) {
  const auto read_theta = [&](const Json& object) {
    result.rope_theta = read_number(object, "rope_theta", result.rope_theta, 1, 1e15, where);
  };
  read_theta(text);
  const Json* rope = rope_section(text, where);
  if (rope == nullptr) return;
  read_theta(*rope);
  const std::string fallback = core::get_string_or(*rope, "type", "default", where);
  const std::string type = core::get_string_or(*rope, "rope_type", fallback, where);
  if (type != "default" && type != "mrope") {
    throw core::UserError(
        core::str(where, ": rope type '", type, "' is not supported, expected default or mrope"));
  }
}

/// Whether some layer sees a window only: those from max_window_layers on, unless layer_types says
/// which.
bool has_sliding_layers(const Json& text, int64_t num_layers, const std::string& where) {
  if (const Json* types = core::find(text, "layer_types"); types != nullptr && types->is_array()) {
    return std::find(types->begin(), types->end(), "sliding_attention") != types->end();
  }
  if (!core::get_bool_or(text, "use_sliding_window", false, where)) return false;
  constexpr int64_t kDefault = 28;  // transformers' Qwen2Config
  return core::get_int_or(text, "max_window_layers", kDefault, where) < num_layers;
}

void check_supported(const Json& text, const std::string& where, const DecoderConfig& config) {
  const std::string activation = core::get_string_or(text, "hidden_act", "silu", where);
  if (activation != "silu") {
    throw core::UserError(core::str(where, ": hidden_act is '", activation, "', expected silu"));
  }
  if (has_sliding_layers(text, config.num_layers, where)) {
    throw core::UserError(core::str(
        where,
        ": layers with sliding attention (use_sliding_window, layer_types) are not supported"));
  }
}

/// head_dim, or what follows from the width.
int64_t read_head_dim(const Json& text,
                      const std::string& where,
                      const DecoderConfig& config,
                      int64_t fallback) {
  if (core::find(text, "head_dim") != nullptr || fallback > 0) {
    return core::get_int_or(text, "head_dim", fallback, where, 1, kMaxHead);
  }
  if (config.hidden_size % config.num_heads == 0) return config.hidden_size / config.num_heads;
  throw core::UserError(core::str(where,
                                  ": hidden_size is ",
                                  config.hidden_size,
                                  ", expected a multiple of num_attention_heads = ",
                                  config.num_heads));
}

void check_heads(const std::string& where, const DecoderConfig& config) {
  if (config.num_heads % config.num_kv_heads != 0) {
    throw core::UserError(core::str(where,
                                    ": num_attention_heads is ",
                                    config.num_heads,
                                    ", expected a multiple of num_key_value_heads = ",
                                    config.num_kv_heads));
  }
  if (config.head_dim % 2 != 0) {
    throw core::UserError(
        core::str(where, ": head_dim is ", config.head_dim, ", expected an even number"));
  }
}

/// As transformers takes them: parts behind each other share out all frequencies, whatever their
/// number; of interleaved ones the second and third say how many frequencies leave the first row.
void check_mrope(const std::string& where, const DecoderConfig& config) {
  const std::vector<int64_t>& parts = config.mrope_section;
  const int64_t half = config.head_dim / 2;
  const bool is_sound = std::all_of(
      parts.begin(), parts.end(), [half](int64_t part) { return part >= 0 && part <= half; });
  const int64_t sum = is_sound ? std::accumulate(parts.begin(), parts.end(), int64_t{0}) : -1;
  if (is_sound && (config.mrope_interleaved ? parts.size() == 3 : sum == half)) return;
  throw core::UserError(core::str(where,
                                  ": mrope_section is ",
                                  at::IntArrayRef(parts),
                                  config.mrope_interleaved
                                      ? ", expected three parts of at most head_dim / 2 = "
                                      : ", expected parts that add up to head_dim / 2 = ",
                                  half));
}

/// tie_word_embeddings of either level: older writers put it into text_config alone.
bool read_tied(const Json& config, const Json& text, const std::string& where) {
  return core::get_bool_or(config, "tie_word_embeddings", false, where) ||
         core::get_bool_or(text, "tie_word_embeddings", false, where);
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

void read_mrope(const Json& config, const std::string& where, DecoderConfig& result) {
  const auto [text, place] = text_section(config, where);
  const Json* rope = rope_section(text, place);
  if (rope == nullptr || core::find(*rope, "mrope_section") == nullptr) {
    throw core::UserError(
        core::str(where, ": mrope_section is missing (under rope_scaling or rope_parameters)"));
  }
  result.mrope_section = core::get_int_list(*rope, "mrope_section", place);
  check_mrope(place, result);
  const bool expected = result.mrope_interleaved;
  if (core::get_bool_or(*rope, "mrope_interleaved", expected, place) != expected) {
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
  const auto size = [&](const char* key, int64_t high) {
    return core::get_int(text, key, place, 1, high);
  };
  DecoderConfig result;
  result.vocab_size = size("vocab_size", kMaxRows);
  result.hidden_size = size("hidden_size", kMaxSize);
  result.intermediate_size = size("intermediate_size", kMaxSize);
  result.num_layers = size("num_hidden_layers", kMaxHead);
  result.num_heads = size("num_attention_heads", kMaxHead);
  result.num_kv_heads =
      core::get_int_or(text, "num_key_value_heads", result.num_heads, place, 1, kMaxHead);
  result.head_dim = read_head_dim(text, place, result, defaults.head_dim);
  result.max_positions =
      core::get_int_or(text, "max_position_embeddings", 32768, place, 1, int64_t{1} << 32);
  result.rms_norm_eps = read_number(text, "rms_norm_eps", defaults.rms_norm_eps, 0, 1, place);
  result.is_tied = read_tied(config, text, where);
  result.rope_theta = defaults.rope_theta;
  read_rope(text, place, result);
  check_supported(text, place, result);
  check_heads(place, result);
  return result;
}

}  // namespace sgrpo::model
