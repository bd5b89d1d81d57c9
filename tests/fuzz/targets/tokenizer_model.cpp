// tokenizer.model: a serialized SentencePiece model, loaded and used.
#include "fuzz/fuzz.h"
#include "sgrpo/tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const sgrpo::fuzz::Folder folder("tokenizer_model");
  return sgrpo::fuzz::expect_no_fault([&] {
    folder.write("tokenizer.model", sgrpo::fuzz::text_of(data, size));
    const auto tokenizer = sgrpo::tokenizer::load_tokenizer(folder.path());
    tokenizer->decode(tokenizer->encode("It's 42 naïve\r\n  <s> ﬁ中文\xFF"));
  });
}
