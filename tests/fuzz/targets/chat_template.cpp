// A chat template's text: recognised, then rendered.
#include "sgrpo/tokenizer/chat_template.h"
#include "fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using Kind = sgrpo::ContentPart::Kind;
  return sgrpo::fuzz::expect_no_fault([&] {
    const auto chat = sgrpo::tokenizer::ChatTemplate::from_text(
        std::string(sgrpo::fuzz::text_of(data, size)), "template");
    chat.render({{"system", {{Kind::kText, "Be brief."}}},
                 {"user", {{Kind::kText, "Hi"}}},
                 {"assistant", {{Kind::kText, "<think>x</think>Hello"}}},
                 {"user", {{Kind::kText, "And now?"}}}},
                true);
  });
}
