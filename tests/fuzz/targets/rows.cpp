// A data file of JSONL rows.
#include "sgrpo/data/rows.h"
#include "fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return sgrpo::fuzz::expect_no_fault(
      [&] { sgrpo::data::parse_rows(sgrpo::fuzz::text_of(data, size), "rows.jsonl", {}); });
}
