#include <gtest/gtest.h>

#include <string>

#include "sgrpo/core/error.h"
#include "sgrpo/core/sha256.h"
#include "sgrpo/core/text.h"

namespace sgrpo::core {
namespace {

TEST(Text, nearest_finds_small_misspellings_only) {
  const std::vector<std::string> names = {"group_size", "top_k", "top_p", "temperature"};
  EXPECT_EQ(nearest("gruop_size", names), "group_size");
  EXPECT_EQ(nearest("temprature", names), "temperature");
  EXPECT_EQ(nearest("something", names), "");
  EXPECT_EQ(nearest("x", {}), "");
  EXPECT_EQ(did_you_mean("top_q", {"top_k"}), " (did you mean 'top_k'?)");
  EXPECT_EQ(did_you_mean("something", names), "");
}

TEST(Text, nearest_proposes_no_nonsense) {
  EXPECT_EQ(nearest("a", {"k", "lr", "at"}), "");
  EXPECT_EQ(nearest("lo", {"lr", "k1"}), "");
  EXPECT_EQ(nearest("grop", {"dr_grpo", "grpo", "rloo"}), "grpo");  // a swap is one mistake
  EXPECT_EQ(nearest("max", {"lambda", "min_p"}), "");
  EXPECT_EQ(nearest(std::string(1 << 20, 'x'), {"x", std::string(200, 'x')}), "");
}

TEST(Text, binary_kind_knows_formats_by_their_first_bytes) {
  using namespace std::string_view_literals;
  EXPECT_EQ(binary_kind("\x89PNG\r\n\x1A\n"), "a PNG image");
  EXPECT_EQ(binary_kind("\xFF\xD8\xFF\xE0"), "a JPEG image");
  EXPECT_EQ(binary_kind("PAR1"), "a Parquet file");
  EXPECT_EQ(binary_kind("\x80\2}"), "a Python pickle");
  EXPECT_EQ(binary_kind("\x10\0\0\0\0\0\0\0{\"a\":{}}"sv), "a safetensors file");
  EXPECT_EQ(binary_kind("BM\x36\0\0"sv), "a BMP image");
  for (const char* text :
       {"", "BM: 1\n", "GIF89a: 1\n", "RIFF: {}\n", "{\"prompt\": 1}", "12345678{\"a\""})
    EXPECT_EQ(binary_kind(text), "") << text;
}

TEST(Text, split_keeps_empty_pieces_and_join_restores_them) {
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(split("", ','), std::vector<std::string>{""});
  EXPECT_EQ(join(split(",a,", ','), ","), ",a,");
  EXPECT_EQ(join({}, ","), "");
}

TEST(Text, trim_removes_ascii_white_space_at_both_ends) {
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
}

TEST(Utf8, valid_sequences_are_accepted_up_to_the_last_code_point) {
  EXPECT_TRUE(is_valid_utf8("a\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80"));
  EXPECT_TRUE(is_valid_utf8("\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"));
  EXPECT_TRUE(is_valid_utf8(""));
}

TEST(Utf8, overlong_surrogate_and_cut_sequences_are_refused) {
  for (const char* bytes : {"\x80",
                            "\xC0\x80",
                            "\xC1\xBF",
                            "\xC2",
                            "\xE0\x9F\xBF",
                            "\xE2\x82",
                            "\xED\xA0\x80",
                            "\xF0\x8F\xBF\xBF",
                            "\xF4\x90\x80\x80",
                            "\xF5\x80\x80\x80",
                            "\xFF",
                            "a\xC3("}) {
    EXPECT_FALSE(is_valid_utf8(bytes)) << printable(bytes);
  }
}

// Maximal subparts: table 3-8 of the Unicode standard (61 F1 80 80 E1 80 C2 62 80 63 80 BF 64).
TEST(Utf8, replacement_follows_maximal_subparts) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(to_valid_utf8("a\xF1\x80\x80\xE1\x80\xC2"
                          "b\x80"
                          "c\x80\xBF"
                          "d"),
            str("a", r, r, r, "b", r, "c", r, r, "d"));
  EXPECT_EQ(to_valid_utf8("\xED\xA0\x80"), str(r, r, r));
  EXPECT_EQ(to_valid_utf8("\xE2\x82\xAC"), "\xE2\x82\xAC");
}

TEST(Text, printable_escapes_control_characters_and_cuts_at_a_character) {
  EXPECT_EQ(printable("a\n\t\x1b[0m\x7f"), "a\\n\\t\\x1b[0m\\x7f");
  EXPECT_EQ(printable("ab\xC3\xA9z", 3), "ab...");
  EXPECT_EQ(printable("ab\xC3\xA9", 4), "ab\xC3\xA9");
  EXPECT_EQ(printable("\xff"), "\xEF\xBF\xBD");
}

// FIPS 180-4 examples, and lengths around the padding's block edge.
TEST(Sha256, known_messages_give_the_published_digests) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, pieces_of_any_length_give_the_digest_of_the_whole) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  for (const size_t piece : {1u, 55u, 56u, 63u, 64u, 65u, 128u}) {
    Sha256 hash;
    for (size_t i = 0; i < text.size(); i += piece) {
      const std::string part = text.substr(i, piece);
      hash.update(part.data(), part.size());
    }
    EXPECT_EQ(hash.hex(), sha256_hex(text)) << piece;
  }
}

TEST(Text, decode_base64_takes_what_encoders_write_and_nothing_else) {
  EXPECT_EQ(decode_base64(""), "");
  EXPECT_EQ(decode_base64("Zg=="), "f");
  EXPECT_EQ(decode_base64("Zm8"), "fo");
  EXPECT_EQ(decode_base64("Zm9v\nYmFy\r\n"), "foobar");
  EXPECT_EQ(decode_base64("+/8="), "\xFB\xFF");
  for (const char* text : {"Z", "Zg=", "Zg===", "Zg==Zg", "a.png", "Z*==", "Zm9vYmFy="})
    EXPECT_EQ(decode_base64(text), std::nullopt) << text;
}

}  // namespace
}  // namespace sgrpo::core
