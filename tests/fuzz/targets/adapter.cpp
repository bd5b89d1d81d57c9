// adapter_config.json of a LoRA adapter whose weights are whole.
#include <ATen/ATen.h>

#include "fuzz/fuzz.h"
#include "sgrpo/checkpoint/adapter_folder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const sgrpo::fuzz::Folder folder("adapter");
  static const bool has_weights =
      (sgrpo::checkpoint::write_safetensors(
           folder.path() / "adapter_model.safetensors",
           {{"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", at::ones({2, 4})},
            {"base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", at::ones({4, 2})}}),
       true);
  static_cast<void>(has_weights);
  return sgrpo::fuzz::expect_no_fault([&] {
    folder.write("adapter_config.json", sgrpo::fuzz::text_of(data, size));
    const sgrpo::checkpoint::AdapterFolder adapter(folder.path());
    for (const std::string& name : adapter.names()) adapter.read(name);
  });
}
