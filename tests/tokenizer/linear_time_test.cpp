// Long texts of one kind that quadratic merging, matching or normalisation would need minutes for.
#include <ctime>
#include <functional>
#include <map>

#include "golden.h"
#include "sgrpo/tokenizer/tokenizer.h"

namespace sgrpo::tokenizer {
namespace {

// Seconds of the processor, not of the clock on the wall: other programs run beside the tests.
constexpr double kLimit = 1.5;
#if defined(__SANITIZE_ADDRESS__)  // an eighth, at an eighth of the speed
constexpr size_t kMebibyte = 1 << 17;
#else
constexpr size_t kMebibyte = 1 << 20;
#endif

// Kind -> text. All of it is one word to merge (letters), a run that expressions cross and come
// back from (spaces, newlines), a row of marks to sort, or looks like a special token again and
// again.
std::map<std::string, std::string> hostile_texts(size_t size) {
  const auto repeat = [&](std::string_view unit) {
    std::string text;
    while (text.size() + unit.size() <= size) text += unit;
    return text;
  };
  return {{"letter", repeat("a")},
          {"letters in turn", repeat("ab")},
          {"letters of two scripts in turn", repeat("aя")},
          {"consonants without merges", repeat("qzxjvkw")},
          {"ideograph", repeat("中")},
          {"syllable in parts", repeat("\u1112\u1161\u11AB")},
          {"digit", repeat("0")},
          {"digits of three scripts", repeat("0٣Ⅷ")},
          {"space", repeat(" ")},
          {"spaces, then a letter", repeat(" ").substr(1) + "a"},
          {"kinds of spaces in turn", repeat(" \t\u00A0\u3000")},
          {"newline", repeat("\n")},
          {"space and newline in turn", repeat(" \n")},
          {"carriage return", repeat("\r")},
          {"space and letter in turn", repeat(" a")},
          {"letter and space in turn", repeat("a ")},
          {"apostrophe", repeat("'")},
          {"contractions", repeat("'s")},
          {"punctuation", repeat("=")},
          {"punctuation and newline in turn", repeat("=\n")},
          {"beginnings of a special token", repeat("<|im_")},
          {"angle", repeat("<")},
          {"special token", repeat("<|im_end|>")},
          {"ordered marks", "a" + repeat("\u0301")},
          {"marks out of order", "a" + repeat("\u0301\u0323")},
          {"emoji with joiners", repeat("\U0001F469\u200D")},
          {"broken bytes", repeat("\xFF")},
          {"cut characters", repeat("\xE4\xBD")},
          {"zero bytes", std::string(size, '\0')}};
}

using Check = std::function<void(const std::string& text, const std::string& decoded)>;

void expect_linear(const std::string& name, size_t size, const Check& check = {}) {
  const auto tokenizer = load_tokenizer(kGolden / name);
  for (const auto& [kind, text] : hostile_texts(size)) {
    const std::clock_t start = std::clock();
    const std::string decoded = tokenizer->decode(tokenizer->encode(text));
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    EXPECT_LT(seconds, kLimit) << kind;
    ::testing::Test::RecordProperty("seconds: " + kind, std::to_string(seconds));
    if (check) check(text, decoded);
  }
}

TEST(LinearTime, encode_and_decode_a_mebibyte_with_the_qwen_split) {
  expect_linear("qwen", kMebibyte);
}

TEST(LinearTime, encode_and_decode_a_mebibyte_with_options_of_added_tokens) {
  expect_linear("gpt2", kMebibyte);
}

TEST(LinearTime, encode_and_decode_a_mebibyte_with_single_digits_gives_it_back) {
  expect_linear("smollm2", kMebibyte, [](const std::string& text, const std::string& decoded) {
    EXPECT_TRUE(decoded == core::to_valid_utf8(text));  // a failure must not print them
  });
}

// The library needs ten times as long for every byte.
TEST(LinearTime, encode_and_decode_by_sentence_piece_bpe) {
  expect_linear("sentencepiece_bpe", kMebibyte / 8);
}

// And it collects a run of unknown characters in quadratic time: a mebibyte takes a minute.
TEST(LinearTime, encode_and_decode_by_sentence_piece_unigram) {
  expect_linear("sentencepiece_unigram", kMebibyte / 16);
}

// PCRE2's own limit of steps lies below this.
TEST(LinearTime, encode_sixteen_mebibytes_of_spaces_keeps_every_one) {
  const auto tokenizer = load_tokenizer(kGolden / "qwen");
  const std::string text(16 * kMebibyte, ' ');
  EXPECT_TRUE(tokenizer->decode(tokenizer->encode(text)) == text);
}

}  // namespace
}  // namespace sgrpo::tokenizer
