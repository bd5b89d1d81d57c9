#include "model/quantised.h"

#include <string_view>

#include "sgrpo/core/text.h"

namespace sgrpo::model {
namespace {

constexpr const char* kRemedy = "are not supported: load the float32 or bfloat16 original";

/// Endings of tensor names and the methods that write them.
struct Mark {
  std::string_view ending, method;
};
constexpr Mark kMarks[] = {
    {".qweight", "GPTQ or AWQ"},
    {".qzeros", "GPTQ or AWQ"},
    {".g_idx", "GPTQ"},
    {".weight_packed", "compressed-tensors"},
    {".weight_scale", "FP8 or compressed-tensors"},
    {".weight_scale_inv", "FP8"},
    {".SCB", "bitsandbytes, 8 bits"},
    {".weight.absmax", "bitsandbytes, 4 bits"},
    {".weight.quant_map", "bitsandbytes, 4 bits"},
    {".W_q", "HQQ"},
};

}  // namespace

std::string leftover_quantisation(const core::Json& config, const std::string& where) {
  const core::Json* settings = core::find(config, "quantization_config");
  if (settings == nullptr || !settings->is_object() || settings->empty()) return "";
  return core::str(where,
                   ": quantization_config is set (method: ",
                   core::get_string_or(*settings, "quant_method", "unnamed", where),
                   "), but the weights are plain numbers, so it is left over and has no effect "
                   "here; transformers would quantise them again: remove it from config.json");
}

void refuse_quantised(const std::vector<std::string>& tensors, const std::string& where) {
  for (const std::string& name : tensors) {
    for (const Mark& mark : kMarks) {
      if (!core::ends_with(name, mark.ending)) continue;
      throw core::UserError(core::str(where,
                                      ": the checkpoint has tensor '",
                                      name,
                                      "', so its weights are quantised (",
                                      mark.method,
                                      "); quantised checkpoints ",
                                      kRemedy));
    }
  }
}

}  // namespace sgrpo::model
