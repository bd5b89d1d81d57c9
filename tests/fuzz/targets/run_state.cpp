// A checkpoint's manifest.json, then its state.json, cut at the first zero byte of the input.
#include "fuzz/fuzz.h"
#include "sgrpo/checkpoint/run_folder.h"
#include "sgrpo/core/json.h"
#include "trainer/progress.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const sgrpo::fuzz::Folder folder("run_state");
  const std::string_view text = sgrpo::fuzz::text_of(data, size);
  const size_t cut = std::min(text.find('\0'), text.size());
  const std::string_view state = text.substr(std::min(cut + 1, text.size()));
  folder.write("checkpoints/step-000003/manifest.json", text.substr(0, cut));
  folder.write("checkpoints/step-000003/state.json", state);
  sgrpo::fuzz::expect_no_fault([&] {
    const sgrpo::checkpoint::RunFolder run(folder.path());
    run.newest();
  });
  return sgrpo::fuzz::expect_no_fault([&] {
    const auto json = sgrpo::core::parse_json(state, "state.json");
    sgrpo::trainer::Progress::from_json(json, "state.json");
  });
}
