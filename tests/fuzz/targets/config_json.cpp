// A model's config.json: what the family makes of it, and the tensors that it asks for.
#include "fuzz/fuzz.h"
#include "sgrpo/core/json.h"
#include "sgrpo/model/layout.h"
#include "sgrpo/model/model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return sgrpo::fuzz::expect_no_fault([&] {
    const auto config = sgrpo::core::parse_json(sgrpo::fuzz::text_of(data, size), "config.json");
    sgrpo::model::read_spec(config, "config.json");
    // A layout lists every weight: of more layers than any model has it is only long.
    const auto* layers = sgrpo::core::find(config, "num_hidden_layers");
    if (layers == nullptr || !layers->is_number_integer() || *layers > 64) return;
    sgrpo::model::read_layout(config, "config.json");
  });
}
