// A configuration file, bound to the run's options and checked.
#include "fuzz/fuzz.h"
#include "sgrpo/trainer/load_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const sgrpo::fuzz::Folder folder("yaml");
  return sgrpo::fuzz::expect_no_fault([&] {
    const auto path = folder.write("config.yaml", sgrpo::fuzz::text_of(data, size));
    sgrpo::trainer::load_run_config(path, {});
  });
}
