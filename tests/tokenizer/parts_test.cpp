// Pieces of the byte-level pipeline where a golden would not say which piece is wrong.
#include "golden.h"
#include "tokenizer/bpe.h"
#include "tokenizer/split_pattern.h"
#include "tokenizer/unicode.h"

namespace sgrpo::tokenizer {
namespace {

using Pieces = std::vector<std::string_view>;

TEST(Unicode, to_nfc_composes_reorders_and_keeps_exclusions) {
  EXPECT_EQ(to_nfc("a\u0301"), "\u00E1");
  EXPECT_EQ(to_nfc("a\u0301\u0323"), "\u1EA1\u0301");
  EXPECT_EQ(to_nfc("\u1112\u1161\u11AB"), "\uD55C");
  EXPECT_EQ(to_nfc("\u212B"), "\u00C5");
  EXPECT_EQ(to_nfc("\u0958"), "\u0915\u093C");
}

TEST(Unicode, to_nfc_treats_marks_younger_than_unicode_9_as_starters) {
  EXPECT_EQ(to_nfc("a\u1DFA\u0301"), "a\u1DFA\u0301");
  EXPECT_EQ(to_nfc("\U00011935\U00011930"), "\U00011935\U00011930");
  EXPECT_EQ(to_nfc("a\u1DF5\u0323"), "\u1EA1\u1DF5");  // Unicode 6.3
}

TEST(Unicode, is_word_holds_letters_marks_digits_connectors_and_joiners) {
  for (const int32_t point : {0x61, 0x5F, 0x39, 0xE9, 0x301, 0x200D, 0x2160, 0x24B6, 0x13DCF}) {
    EXPECT_TRUE(is_word(point)) << point;
  }
  for (const int32_t point : {0x20, 0x2D, 0xB2, 0x1F642, 0x2460, 0x200B}) {
    EXPECT_FALSE(is_word(point)) << point;
  }
}

TEST(Unicode, is_space_is_white_space_without_the_mongolian_vowel_separator) {
  for (const int32_t point : {0x9, 0xD, 0x20, 0x85, 0xA0, 0x1680, 0x2003, 0x2028, 0x3000}) {
    EXPECT_TRUE(is_space(point)) << point;
  }
  for (const int32_t point : {0x8, 0x1C, 0x180E, 0x200B, 0xFEFF, 0x61}) {
    EXPECT_FALSE(is_space(point)) << point;
  }
}

TEST(SplitPattern, qwen_pattern_splits_words_digits_and_spaces) {
  const SplitPattern pattern(kQwenPattern, "");
  EXPECT_EQ(pattern.split("It'S 42  x!\r\n y"),
            (Pieces{"It", "'S", " ", "4", "2", " ", " x", "!\r\n", " y"}));
  EXPECT_EQ(pattern.split(""), Pieces{});
}

TEST(SplitPattern, letters_of_unicode_16_are_letters) {
  const SplitPattern pattern(kQwenPattern, "");
  EXPECT_EQ(pattern.split("a\U00010D4Ab"), Pieces{"a\U00010D4Ab"});
  EXPECT_EQ(pattern.split("\U00010D40\U00010D40"), (Pieces{"\U00010D40", "\U00010D40"}));
}

TEST(SplitPattern, text_between_matches_is_kept) {
  EXPECT_EQ(SplitPattern(R"(\d+)", "").split("ab12c"), (Pieces{"ab", "12", "c"}));
}

TEST(SplitPattern, constructs_of_another_meaning_are_refused) {
  for (const char* expression : {"a.b",
                                 "^a",
                                 "a$",
                                 R"(\w)",
                                 R"(\h)",
                                 R"(\p{Greek})",
                                 "[a&&b]",
                                 "[[:alpha:]]",
                                 R"([^\S])",
                                 "(?<=a)b",
                                 "(?>a)b",
                                 "a{2}+",
                                 "a{,2}",
                                 R"(\)",
                                 R"(\p)"}) {
    EXPECT_NE(user_error([&] { SplitPattern(expression, "here"); }).find("here: the expression "),
              std::string::npos)
        << expression;
  }
  EXPECT_EQ(user_error([] { SplitPattern("a*", "here"); }),
            "here: the expression matches the empty string, expected one that does not");
  EXPECT_EQ(user_error([] { SplitPattern("(a", "here"); }),
            "here: the expression is not valid: missing closing parenthesis");
}

BpeSpec letters(std::vector<std::pair<std::string, std::string>> merges) {
  BpeSpec spec;
  int64_t id = 0;
  for (const char* token : {"a", "b", "c", "ab", "bc", "abc", "aa", "aaa"}) {
    spec.vocabulary.emplace_back(token, id++);
  }
  spec.merges = std::move(merges);
  return spec;
}

std::vector<int64_t> encode(const BpeSpec& spec, std::string_view piece) {
  std::vector<int64_t> ids;
  Bpe(spec).encode(piece, ids);
  return ids;
}

TEST(Bpe, encode_takes_the_lowest_rank_then_the_leftmost_place) {
  EXPECT_EQ(encode(letters({{"b", "c"}, {"a", "b"}}), "abc"), (std::vector<int64_t>{0, 4}));
  EXPECT_EQ(encode(letters({{"a", "b"}, {"b", "c"}}), "abc"), (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(encode(letters({{"a", "b"}, {"ab", "c"}}), "abc"), (std::vector<int64_t>{5}));
  EXPECT_EQ(encode(letters({{"a", "a"}, {"aa", "a"}}), "aaaaa"), (std::vector<int64_t>{6, 7}));
}

TEST(Bpe, encode_ignore_merges_takes_a_whole_token) {
  BpeSpec spec = letters({});
  EXPECT_EQ(encode(spec, "abc"), (std::vector<int64_t>{0, 1, 2}));
  spec.ignore_merges = true;
  EXPECT_EQ(encode(spec, "abc"), (std::vector<int64_t>{5}));
}

TEST(Bpe, encode_drops_bytes_without_a_symbol) {
  EXPECT_EQ(encode(letters({}), "a\xFFz"), (std::vector<int64_t>{0}));
}

TEST(Bpe, byte_symbols_are_read_back) {
  std::string token;
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) {
    token += byte_symbol(static_cast<unsigned char>(byte));
    bytes.push_back(static_cast<char>(byte));
  }
  EXPECT_EQ(symbols_to_bytes(token), bytes);
  EXPECT_EQ(byte_symbol(' '), "\u0120");
  EXPECT_EQ(symbols_to_bytes("a b"), std::nullopt);
}

}  // namespace
}  // namespace sgrpo::tokenizer
