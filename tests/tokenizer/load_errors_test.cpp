#include <sys/stat.h>

#include "golden.h"
#include "sgrpo/tokenizer/tokenizer.h"

namespace sgrpo::tokenizer {
namespace {

// Loads the qwen golden after `edit` changed its tokenizer.json; "<folder>/" is cut from messages.
template <class Edit>
std::string error_after(Edit edit) {
  const TemporaryFolder folder;
  core::Json file =
      core::parse_json(core::read_file(kGolden / "qwen" / "tokenizer.json"), "tokenizer.json");
  edit(file);
  folder.write("tokenizer.json", file.dump());
  const std::string message = user_error([&] { load_tokenizer(folder.path()); });
  const std::string prefix = folder.path().string() + "/";
  return core::starts_with(message, prefix) ? message.substr(prefix.size()) : message;
}

TEST(LoadTokenizer, no_files_names_folder_and_what_is_expected) {
  const TemporaryFolder folder;
  EXPECT_EQ(user_error([&] { load_tokenizer(folder.path()); }),
            folder.path().string() +
                ": no tokenizer, expected tokenizer.json, vocab.json and merges.txt, or "
                "tokenizer.model");
}

TEST(LoadTokenizer, bad_json_names_the_byte) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", "{\"model\": ");
  EXPECT_EQ(user_error([&] { load_tokenizer(folder.path()); }),
            folder.path().string() +
                "/tokenizer.json: not valid JSON (byte 11), expected a tokenizer file");
}

TEST(LoadTokenizer, unsupported_normalizer_is_named) {
  EXPECT_EQ(error_after([](core::Json& file) {
              file["normalizer"] = core::Json{{"type", "Lowercase"}};
            }),
            "tokenizer.json: normalizer is {\"type\":\"Lowercase\"}, expected NFC or null");
}

TEST(LoadTokenizer, normalizer_in_a_sequence_is_named_by_its_place) {
  EXPECT_EQ(error_after([](core::Json& file) {
              file["normalizer"] = core::parse_json(
                  R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"NFKC"}]})", "");
            }),
            "tokenizer.json: normalizer.normalizers[1] is {\"type\":\"NFKC\"}, expected NFC or "
            "null");
}

TEST(LoadTokenizer, unsupported_model_is_named) {
  EXPECT_EQ(error_after([](core::Json& file) { file["model"]["type"] = "WordPiece"; }),
            "tokenizer.json: model.type is \"WordPiece\", expected \"BPE\"");
}

TEST(LoadTokenizer, unsupported_pre_tokenizer_is_named) {
  EXPECT_EQ(error_after([](core::Json& file) {
              file["pre_tokenizer"] = core::Json{{"type", "Whitespace"}};
            }),
            "tokenizer.json: pre_tokenizer is {\"type\":\"Whitespace\"}, expected ByteLevel, or a "
            "Sequence of Digits and Splits by expressions that ends with ByteLevel");
}

TEST(LoadTokenizer, unsupported_decoder_is_named) {
  EXPECT_EQ(error_after([](core::Json& file) { file["decoder"] = nullptr; }),
            "tokenizer.json: decoder is null, expected ByteLevel");
}

TEST(LoadTokenizer, template_that_adds_tokens_is_refused) {
  const std::string message = error_after([](core::Json& file) {
    file["post_processor"] = core::parse_json(
        R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},
            {"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<s>":{}}})",
        "");
  });
  EXPECT_EQ(message.substr(0, 35), "tokenizer.json: post_processor is {");
  EXPECT_NE(message.find("expected ByteLevel, null or a template that adds no token"),
            std::string::npos);
}

TEST(LoadTokenizer, expression_with_a_construct_of_another_meaning_is_refused) {
  const std::string message = error_after([](core::Json& file) {
    file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = R"(\w+|\s+)";
  });
  EXPECT_EQ(message.substr(0, message.find(", expected")),
            "tokenizer.json: pre_tokenizer.pretokenizers[0].pattern.Regex: the expression uses "
            "'\\w'");
}

TEST(LoadTokenizer, merge_of_unknown_token_is_named) {
  EXPECT_EQ(error_after([](core::Json& file) {
              file["model"]["merges"][2] = core::Json{"zq", "h"};
            }),
            "tokenizer.json: model.merges: merge 2 ('zq' 'h') needs token 'zq', which is not in "
            "the vocabulary");
}

TEST(LoadTokenizer, merge_of_wrong_shape_is_named) {
  EXPECT_EQ(error_after([](core::Json& file) { file["model"]["merges"][1] = "a b c"; }),
            "tokenizer.json: model.merges[1] is \"a b c\", expected \"a b\" or [\"a\", \"b\"]");
}

TEST(LoadTokenizer, repeated_id_is_refused) {
  EXPECT_EQ(error_after([](core::Json& file) { file["model"]["vocab"]["!"] = 1; }),
            "tokenizer.json: model.vocab: token '\"' has id 1, which another token has too");
}

TEST(LoadTokenizer, gap_in_the_ids_is_refused) {
  EXPECT_EQ(error_after([](core::Json& file) { file["added_tokens"][9]["id"] = 600; }),
            "tokenizer.json: no token has id 529, expected ids 0..529 for 530 tokens");
}

TEST(LoadTokenizer, added_token_that_contradicts_the_vocabulary_is_refused) {
  EXPECT_EQ(error_after([](core::Json& file) { file["added_tokens"][0]["content"] = "!"; }),
            "tokenizer.json: added token '!' has id 520, but id 0 in the vocabulary");
  EXPECT_EQ(error_after([](core::Json& file) { file["added_tokens"][0]["id"] = 0; }),
            "tokenizer.json: added token '<|endoftext|>' has id 0, which is token '!'");
}

TEST(LoadTokenizer, token_that_appears_twice_is_refused) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}}})");
  EXPECT_EQ(user_error([&] { load_tokenizer(folder.path()); }),
            folder.path().string() + "/tokenizer.json: key 'a' appears twice in one object");
}

TEST(LoadTokenizer, keys_of_the_config_that_change_the_ids_are_refused) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(kGolden / "qwen" / "tokenizer.json", folder.path() / "tokenizer.json");
  const auto error_with = [&](const std::string& config) {
    folder.write("tokenizer_config.json", config);
    return user_error([&] { load_tokenizer(folder.path()); });
  };
  const std::string where = folder.path().string() + "/tokenizer_config.json: ";
  EXPECT_EQ(error_with(R"({"add_prefix_space": true})"),
            where + "add_prefix_space is true, expected false, as in tokenizer.json");
  EXPECT_EQ(error_with(R"({"split_special_tokens": true})"),
            where + "split_special_tokens is true, expected false");
  folder.write("tokenizer_config.json",
               R"({"add_prefix_space": false, "split_special_tokens": false})");
  EXPECT_NO_THROW(load_tokenizer(folder.path()));
}

TEST(LoadTokenizer, pipe_is_refused_without_waiting_for_a_writer) {
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "tokenizer.json").string();
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(user_error([&] { load_tokenizer(folder.path()); }),
            "cannot read " + path + ": not a regular file");
}

TEST(LoadTokenizer, broken_line_of_merges_txt_is_named) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(kGolden / "hub" / "vocab.json", folder.path() / "vocab.json");
  folder.write("merges.txt", "#version: 0.2\nt h\nh\n");
  EXPECT_EQ(
      user_error([&] { load_tokenizer(folder.path()); }),
      folder.path().string() + "/merges.txt:3: 'h', expected two tokens with one space between");
}

TEST(LoadTokenizer, unknown_class_beside_vocab_json_is_refused) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(kGolden / "hub" / "vocab.json", folder.path() / "vocab.json");
  folder.write("merges.txt", "");
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "CLIPTokenizer"})");
  EXPECT_NE(user_error([&] { load_tokenizer(folder.path()); })
                .find("tokenizer_class is 'CLIPTokenizer', expected Qwen2Tokenizer or "
                      "GPT2Tokenizer"),
            std::string::npos);
}

TEST(LoadTokenizer, number_beyond_every_double_names_the_file) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", R"({"version": 1e999})");
  EXPECT_EQ(folder.shorten(user_error([&] { load_tokenizer(folder.path()); })),
            "tokenizer.json: holds a number beyond every double, expected a tokenizer file");
}

}  // namespace
}  // namespace sgrpo::tokenizer
