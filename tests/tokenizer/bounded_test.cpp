// What comes with a folder may be hostile: expressions that need 2^n steps, tables that lead
// outside.
#include <cstring>

#include "golden.h"
#include "sgrpo/tokenizer/tokenizer.h"
#include "tokenizer/character_map.h"
#include "tokenizer/split_pattern.h"

namespace sgrpo::tokenizer {
namespace {

TEST(Bounded, split_by_an_expression_of_exponential_cost_is_refused) {
  const SplitPattern pattern("(a|a|aa)+b|(?:c|d)", "tokenizer.json");
  EXPECT_EQ(pattern.split("aab").size(), 1U);
  EXPECT_EQ(user_error([&] { pattern.split(std::string(60, 'a')); }),
            "tokenizer.json: the expression cannot split 60 bytes of text into words: match limit "
            "exceeded");
}

TEST(Bounded, split_by_an_expression_of_quadratic_cost_is_refused_for_a_long_text_only) {
  const SplitPattern pattern("(?:a+b|a)", "tokenizer.json");
  EXPECT_EQ(pattern.split(std::string(1000, 'a')).size(), 1000U);
  EXPECT_NE(user_error([&] {
              pattern.split(std::string(size_t{1} << 20, 'a'));
            }).find("the expression cannot split 1048576 bytes"),
            std::string::npos);
}

// A serialized model whose normaliser has this table.
std::string model_with(const std::string& table) {
  const auto field = [](char number, const std::string& bytes) {
    std::string length;
    for (size_t left = bytes.size();; left >>= 7) {
      length += static_cast<char>(left < 128 ? left : left % 128 + 128);
      if (left < 128) break;
    }
    return static_cast<char>(number * 8 + 2) + length + bytes;
  };
  return field(3, field(1, "nfkc") + field(2, table));
}

std::string units(const std::vector<uint32_t>& values) {
  std::string bytes(values.size() * 4, '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::string table_of(const std::string& trie, const std::string& texts) {
  return units({static_cast<uint32_t>(trie.size())}) + trie + texts;
}

// A trie that maps "a" to the text at `place`: the root's children stand at 256, a's value at 512.
std::string one_letter_trie(uint32_t place) {
  std::vector<uint32_t> trie(768, 0);
  trie[0] = 256U << 10;
  trie[256 ^ 'a'] = 'a' | 1U << 8 | static_cast<uint32_t>(256 ^ 'a' ^ 512) << 10;
  trie[512] = place | 0x80000000U;
  return units(trie);
}

std::string fault(const std::string& table) {
  return user_error([&] { check_character_maps(model_with(table), "m"); });
}

TEST(Bounded, normalisers_table_that_stays_inside_is_taken) {
  EXPECT_NO_THROW(check_character_maps(
      model_with(table_of(one_letter_trie(2), std::string("x\0b\0", 4))), "m"));
  EXPECT_NO_THROW(check_character_maps(model_with(""), "m"));
}

TEST(Bounded, normalisers_table_that_leads_outside_is_refused) {
  const std::string texts("x\0b\0", 4), good = one_letter_trie(2);
  const std::string told = ": the normaliser's table (precompiled_charsmap, ";
  for (const std::string& table :
       {units({4, 0xFFFFFFFF}) + std::string("a\0", 2),
        std::string("ab"),
        table_of(one_letter_trie(4), texts),
        table_of(good.substr(0, good.size() - 4), texts),
        table_of(good, "x"),
        table_of(good, ""),
        table_of("", texts),
        units({static_cast<uint32_t>(good.size() + 400)}) + good + texts}) {
    EXPECT_NE(fault(table).find(told), std::string::npos) << table.size();
  }
}

TEST(Bounded, load_model_with_a_table_that_leads_outside_names_the_file) {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", model_with(units({4, 0xFFFFFFFF}) + std::string("a\0", 2)));
  EXPECT_EQ(folder.shorten(user_error([&] { load_tokenizer(folder.path()); })),
            "tokenizer.model: the normaliser's table (precompiled_charsmap, 10 bytes) is damaged; "
            "download the file again");
}

TEST(Bounded, bytes_that_are_no_message_are_no_model) {
  EXPECT_EQ(user_error([] { check_character_maps("\x1A\x7F", "m"); }),
            "m: not a SentencePiece model: no message of its format from byte 2 on");
}

}  // namespace
}  // namespace sgrpo::tokenizer
