#include <thread>

#include "golden.h"
#include "sgrpo/tokenizer/tokenizer.h"

namespace sgrpo::tokenizer {
namespace {

using Ids = std::vector<int64_t>;

std::string from_hex(const std::string& digits) {
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return bytes;
}

// Rows of tests/golden/tokenizer/cases.jsonl for one tokenizer, in both directions.
void expect_golden(const Tokenizer& tokenizer, const std::string& name) {
  int64_t rows = 0;
  for (const core::Json& row : read_rows(kGolden / "cases.jsonl")) {
    if (row["tokenizer"] != name) continue;
    ++rows;
    const Ids ids = row["ids"].get<Ids>();
    if (row.contains("text")) {
      EXPECT_EQ(tokenizer.encode(row["text"].get<std::string>()), ids) << core::dump_ascii(row);
    } else if (row.contains("bytes")) {
      EXPECT_EQ(tokenizer.encode(from_hex(row["bytes"].get<std::string>())), ids)
          << core::dump_ascii(row);
    } else {
      EXPECT_EQ(tokenizer.decode(ids), row["decoded"].get<std::string>()) << core::dump_ascii(row);
      EXPECT_EQ(tokenizer.decode(ids, true), row["skipped"].get<std::string>());
    }
  }
  EXPECT_GE(rows, 300);
}

TEST(ByteLevel, encode_qwen_split_equals_tokenizers) {
  expect_golden(*load_tokenizer(kGolden / "qwen"), "qwen");
}

TEST(ByteLevel, encode_merges_as_strings_equals_tokenizers) {
  expect_golden(*load_tokenizer(kGolden / "hub"), "qwen");
}

TEST(ByteLevel, encode_plain_byte_level_equals_tokenizers) {
  expect_golden(*load_tokenizer(kGolden / "plain"), "plain");
}

TEST(ByteLevel, encode_added_token_options_equals_tokenizers) {
  expect_golden(*load_tokenizer(kGolden / "gpt2"), "gpt2");
}

TEST(ByteLevel, encode_digits_split_equals_tokenizers) {
  expect_golden(*load_tokenizer(kGolden / "smollm2"), "smollm2");
}

TEST(ByteLevel, encode_vocab_and_merges_equals_tokenizers) {
  const TemporaryFolder folder;
  for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json"}) {
    std::filesystem::copy_file(kGolden / "hub" / name, folder.path() / name);
  }
  expect_golden(*load_tokenizer(folder.path()), "qwen");
}

TEST(ByteLevel, encode_special_token_inside_text_gives_its_id) {
  const auto tokenizer = load_tokenizer(kGolden / "qwen");
  const auto id = tokenizer->token_id("<|im_end|>");
  ASSERT_TRUE(id.has_value());
  Ids expected = tokenizer->encode("a");
  expected.push_back(*id);
  EXPECT_EQ(tokenizer->encode("a<|im_end|>"), expected);
  EXPECT_TRUE(tokenizer->is_special(*id));
  EXPECT_EQ(tokenizer->decode({*id, expected[0]}, true), "a");
}

TEST(ByteLevel, encode_longest_added_token_wins) {
  const auto tokenizer = load_tokenizer(kGolden / "qwen");
  EXPECT_EQ(tokenizer->encode("<|im_start|>x"), Ids{*tokenizer->token_id("<|im_start|>x")});
}

TEST(ByteLevel, encode_broken_utf8_becomes_replacement_characters) {
  const auto tokenizer = load_tokenizer(kGolden / "qwen");
  EXPECT_EQ(tokenizer->encode("a\xFF\xE4\xBD"), tokenizer->encode("a\uFFFD\uFFFD"));
}

TEST(ByteLevel, decode_ids_out_of_range_give_nothing) {
  const auto tokenizer = load_tokenizer(kGolden / "qwen");
  Ids ids = tokenizer->encode("hello");
  ids.insert(ids.begin(), {-1, tokenizer->size(), int64_t{1} << 40});
  EXPECT_EQ(tokenizer->decode(ids), "hello");
}

TEST(ByteLevel, size_counts_added_tokens) {
  const auto tokenizer = load_tokenizer(kGolden / "qwen");
  EXPECT_EQ(tokenizer->size(), 530);
  EXPECT_EQ(tokenizer->token_id("</tool_call>"), 528);
  EXPECT_FALSE(tokenizer->is_special(528));
  EXPECT_EQ(tokenizer->token_id("no such token"), std::nullopt);
}

TEST(ByteLevel, encode_from_four_threads_gives_the_same_ids) {
  const auto tokenizer = load_tokenizer(kGolden / "qwen");
  const std::string text = "Größe \u0301 it's 123 <|im_end|> naïve façade\n\n  x";
  const Ids expected = tokenizer->encode(text);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) wrong[t] += tokenizer->encode(text) != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace sgrpo::tokenizer
