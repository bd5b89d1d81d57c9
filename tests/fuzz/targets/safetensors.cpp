// A safetensors file: its header, and every tensor that the header promises.
#include "sgrpo/checkpoint/safetensors.h"
#include "fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const sgrpo::fuzz::Folder folder("safetensors");
  return sgrpo::fuzz::expect_no_fault([&] {
    const auto path = folder.write("x.safetensors", sgrpo::fuzz::text_of(data, size));
    const sgrpo::checkpoint::SafetensorsFile file(path);
    for (const auto& entry : file.entries()) file.read(entry.name);
  });
}
