// Recorded completions: a file made by hand, or a step of a run.
#include "sgrpo/data/replay.h"
#include "fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const sgrpo::fuzz::Folder folder("replay");
  return sgrpo::fuzz::expect_no_fault([&] {
    const auto record = std::make_shared<sgrpo::PromptRecord>();
    record->id = "r1";
    const auto find = [&](const std::string& id) {
      return id == record->id ? record : std::shared_ptr<const sgrpo::PromptRecord>();
    };
    for (const char* name : {"by_hand.jsonl", "step-000001.jsonl"}) {
      const auto path = folder.write(name, sgrpo::fuzz::text_of(data, size));
      sgrpo::data::load_replay(path, {}, find);
    }
  });
}
