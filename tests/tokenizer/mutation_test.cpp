// Damaged files must load or be refused with a UserError, never crash.
#include "golden.h"
#include "sgrpo/core/rng.h"
#include "sgrpo/tokenizer/chat_template.h"
#include "sgrpo/tokenizer/tokenizer.h"

namespace sgrpo::tokenizer {
namespace {

// One to four bytes of `text` replaced, removed or doubled.
std::string damage(std::string text, uint64_t round) {
  const core::RandomKey key{.seed = 5, .step = round};
  const uint64_t edits = 1 + key.below(4, 0);
  for (uint64_t edit = 0; edit < edits; ++edit) {
    const size_t at = key.below(text.size(), 3 * edit + 1);
    const uint64_t kind = key.below(3, 3 * edit + 2);
    if (kind == 0) text[at] = static_cast<char>(key.below(256, 3 * edit + 3));
    if (kind == 1) text.erase(at, 1 + key.below(40, 3 * edit + 3));
    if (kind == 2) text.insert(at, text.substr(at, 1 + key.below(40, 3 * edit + 3)));
  }
  return text;
}

TEST(Mutation, load_damaged_tokenizer_json_loads_or_throws_user_error) {
  const std::string whole = core::read_file(kGolden / "qwen" / "tokenizer.json");
  // Damage in the vocabulary is found at once; the small part behind it holds the structure.
  const size_t vocabulary = whole.find("\"vocab\"");
  const TemporaryFolder folder;
  int refused = 0;
  for (uint64_t round = 0; round < 400; ++round) {
    const bool head = round % 2 == 0;
    folder.write("tokenizer.json",
                 head ? damage(whole.substr(0, vocabulary), round) + whole.substr(vocabulary)
                      : whole.substr(0, vocabulary) + damage(whole.substr(vocabulary), round));
    try {
      const auto tokenizer = load_tokenizer(folder.path());
      tokenizer->decode(tokenizer->encode("It's 42 naïve <|im_end|>\n"));
    } catch (const core::UserError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 200);
  EXPECT_LT(refused, 400);
}

TEST(Mutation, load_damaged_sentence_piece_model_loads_or_throws_user_error) {
  const std::string whole = core::read_file(kGolden / "sentencepiece_bpe" / "tokenizer.model");
  const TemporaryFolder folder;
  int refused = 0;
  for (uint64_t round = 0; round < 100; ++round) {
    folder.write("tokenizer.model", damage(whole, round));
    try {
      load_tokenizer(folder.path());
    } catch (const core::UserError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
}

TEST(Mutation, render_with_damaged_template_renders_or_throws_user_error) {
  const std::vector<Message> messages{{"user", {{ContentPart::Kind::kText, "Hi"}}}};
  int refused = 0;
  for (const char* name : {"qwen2", "qwen2_5", "qwen2_5_vl", "qwen3", "qwen3_vl"}) {
    const std::string whole =
        core::read_file(kGolden / "chat_templates" / (std::string(name) + ".jinja"));
    for (uint64_t round = 0; round < 100; ++round) {
      try {
        ChatTemplate::from_text(damage(whole, round), name).render(messages, true);
      } catch (const core::UserError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 0);
}

TEST(Mutation, load_template_of_one_repeated_byte_is_refused_without_deep_recursion) {
  for (const std::string& tail : {std::string(1 << 20, ' '), std::string(1 << 20, 'w')}) {
    EXPECT_THROW(
        ChatTemplate::from_text("<|im_start|><|im_end|>\n messages | " + tail + " in " + tail, "t"),
        core::UserError);
  }
}

}  // namespace
}  // namespace sgrpo::tokenizer
