#include <sentencepiece_processor.h>

#include "golden.h"
#include "sgrpo/tokenizer/tokenizer.h"

namespace sgrpo::tokenizer {
namespace {

using Ids = std::vector<int64_t>;

void expect_golden(const std::string& model) {
  const auto tokenizer = load_tokenizer(kGolden / ("sentencepiece_" + model));
  int rows = 0;
  for (const core::Json& row : read_rows(kGolden / "sentencepiece_cases.jsonl")) {
    if (row["model"] != model) continue;
    ++rows;
    const Ids ids = row["ids"].get<Ids>();
    EXPECT_EQ(tokenizer->encode(row["text"].get<std::string>()), ids) << core::dump_ascii(row);
    EXPECT_EQ(tokenizer->decode(ids), row["decoded"].get<std::string>()) << core::dump_ascii(row);
  }
  EXPECT_GE(rows, 150);
}

// The BPE model in a folder of its own, with a tokenizer_config.json.
class ConfiguredSentencePiece : public ::testing::Test {
 protected:
  std::shared_ptr<const Tokenizer> load(const std::string& config) const {
    std::filesystem::copy_file(kGolden / "sentencepiece_bpe" / "tokenizer.model",
                               folder_.path() / "tokenizer.model",
                               std::filesystem::copy_options::overwrite_existing);
    folder_.write("tokenizer_config.json", config);
    return load_tokenizer(folder_.path());
  }
  TemporaryFolder folder_;
};

TEST(SentencePiece, encode_bpe_with_byte_fallback_equals_the_python_package) {
  expect_golden("bpe");
}

TEST(SentencePiece, encode_unigram_equals_the_python_package) { expect_golden("unigram"); }

TEST(SentencePiece, control_pieces_are_special_and_kept_unless_skipped) {
  const auto tokenizer = load_tokenizer(kGolden / "sentencepiece_bpe");
  const auto end = tokenizer->token_id("</s>");
  ASSERT_TRUE(end.has_value());
  EXPECT_TRUE(tokenizer->is_special(*end));
  Ids ids = tokenizer->encode("the word");
  ids.push_back(*end);
  EXPECT_EQ(tokenizer->decode(ids), "the word</s>");
  EXPECT_EQ(tokenizer->decode(ids, true), "the word");
  EXPECT_EQ(tokenizer->token_id("no such piece"), std::nullopt);
}

TEST(SentencePiece, decode_ids_out_of_range_give_nothing) {
  const auto tokenizer = load_tokenizer(kGolden / "sentencepiece_bpe");
  EXPECT_EQ(tokenizer->size(), 600);
  EXPECT_EQ(tokenizer->decode({-1, 600, int64_t{1} << 33}), "");
}

TEST_F(ConfiguredSentencePiece, encode_added_token_inside_text_gives_its_id) {
  const auto tokenizer = load(
      R"({"added_tokens_decoder": {"2": {"content": "</s>", "special": true},
          "600": {"content": "<|im_end|>", "special": true},
          "601": {"content": "<tool>", "special": false}}})");
  EXPECT_EQ(tokenizer->size(), 602);
  Ids expected = tokenizer->encode("the");
  expected.insert(expected.end(), {600, 2, 601});
  EXPECT_EQ(tokenizer->encode("the<|im_end|></s><tool>"), expected);
  EXPECT_EQ(tokenizer->decode(expected), "the<|im_end|></s><tool>");
  EXPECT_EQ(tokenizer->decode(expected, true), "the<tool>");
}

TEST_F(ConfiguredSentencePiece, encode_adds_neither_bos_nor_eos) {
  const Ids plain = load("{}")->encode("the");
  EXPECT_EQ(load(R"({"add_bos_token": true, "add_eos_token": true})")->encode("the"), plain);
}

TEST_F(ConfiguredSentencePiece,
       tokens_of_added_tokens_json_are_special_where_the_config_names_them) {
  folder_.write("added_tokens.json", R"({"<tool>": 601, "<|im_end|>": 600, "<extra>": 602})");
  const auto tokenizer =
      load(R"({"eos_token": {"content": "<|im_end|>"}, "additional_special_tokens": ["<extra>"]})");
  EXPECT_EQ(tokenizer->size(), 603);
  EXPECT_EQ(tokenizer->encode("<|im_end|><tool><extra>"), (Ids{600, 601, 602}));
  EXPECT_EQ(tokenizer->decode({600, 601, 602}, true), "<tool>");
}

TEST_F(ConfiguredSentencePiece, added_tokens_json_gives_way_to_the_config) {
  folder_.write("added_tokens.json", R"({"<old>": 600})");
  const auto tokenizer = load(R"({"added_tokens_decoder": {"600": {"content": "<new>"}}})");
  EXPECT_EQ(tokenizer->token_id("<new>"), 600);
  EXPECT_EQ(tokenizer->token_id("<old>"), std::nullopt);
}

TEST_F(ConfiguredSentencePiece, special_tokens_map_names_special_tokens_too) {
  folder_.write("added_tokens.json", R"({"<|im_end|>": 600})");
  folder_.write("special_tokens_map.json", R"({"eos_token": "<|im_end|>"})");
  EXPECT_TRUE(load("{}")->is_special(600));
}

TEST_F(ConfiguredSentencePiece, load_added_tokens_json_with_no_id_names_the_token) {
  folder_.write("added_tokens.json", R"({"<x>": "600"})");
  EXPECT_EQ(user_error([&] { load("{}"); }),
            folder_.path().string() + "/added_tokens.json: '<x>' is a string, expected an integer");
}

TEST_F(ConfiguredSentencePiece, load_added_token_with_a_gap_is_refused) {
  EXPECT_EQ(user_error([&] { load(R"({"added_tokens_decoder": {"700": {"content": "<x>"}}})"); }),
            folder_.path().string() +
                "/tokenizer_config.json: added token '<x>' has id 700, expected the id of this "
                "piece in tokenizer.model or 600");
}

/// tokenizer.json as a converter writes it for the BPE model: its pieces, and one added token.
class ConvertedSentencePiece : public ConfiguredSentencePiece {
 protected:
  ConvertedSentencePiece() {
    sentencepiece::SentencePieceProcessor original;
    const std::string model = (kGolden / "sentencepiece_bpe" / "tokenizer.model").string();
    EXPECT_TRUE(original.Load(model).ok());
    file_["model"] = {{"type", "BPE"}, {"byte_fallback", true}, {"merges", core::Json::array()}};
    for (int id = 0; id < original.GetPieceSize(); ++id)
      file_["model"]["vocab"][original.IdToPiece(id)] = id;
    file_["normalizer"] = core::Json::parse(R"({"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]})");
    file_["pre_tokenizer"] = nullptr;
    file_["added_tokens"] =
        core::Json::parse(R"([{"id": 600, "content": "<|im_end|>", "special": true}])");
  }

  std::shared_ptr<const Tokenizer> load_converted() const {
    folder_.write("tokenizer.json", core::dump_ascii(file_));
    return load("{}");
  }

  core::Json file_ = core::Json::object();
};

TEST_F(ConvertedSentencePiece, original_is_read_with_the_added_tokens_of_the_conversion) {
  const auto plain = load_tokenizer(kGolden / "sentencepiece_bpe");
  const auto tokenizer = load_converted();
  EXPECT_EQ(tokenizer->size(), 601);
  Ids expected = plain->encode("the word");
  expected.push_back(600);
  const Ids after = plain->encode("is");
  expected.insert(expected.end(), after.begin(), after.end());
  EXPECT_EQ(tokenizer->encode("the word<|im_end|>is"), expected);
  file_["normalizer"] = nullptr;
  file_["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "always"}};
  EXPECT_EQ(load_converted()->encode("the word<|im_end|>is"), expected);
}

TEST_F(ConvertedSentencePiece, conversion_that_splits_otherwise_is_refused_by_its_key) {
  file_["normalizer"] = nullptr;
  file_["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "first"}};
  EXPECT_EQ(user_error([&] { load_converted(); }),
            folder_.path().string() +
                "/tokenizer.json: model.byte_fallback is true, expected false, or tokenizer.model "
                "beside it "
                "and a space put before every stretch of text");
}

TEST_F(ConvertedSentencePiece, conversion_of_another_model_is_refused) {
  core::Json& vocabulary = file_["model"]["vocab"];
  const int64_t id = vocabulary["\u2581the"].get<int64_t>();
  vocabulary.erase("\u2581the");
  vocabulary["\u2581thy"] = id;
  EXPECT_EQ(user_error([&] { load_converted(); }),
            core::str(folder_.path().string(),
                      "/tokenizer.json: model.vocab has '\u2581thy' as token ",
                      id,
                      ", but tokenizer.model beside it has '\u2581the'; remove the file that is "
                      "not this model's"));
}

TEST(SentencePiece, load_other_bytes_names_the_file) {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", "not a model");
  const std::string message = user_error([&] { load_tokenizer(folder.path()); });
  EXPECT_EQ(message.substr(0, message.find(": ", folder.path().string().size())),
            folder.path().string() + "/tokenizer.model");
  EXPECT_NE(message.find("not a SentencePiece model"), std::string::npos) << message;
}

}  // namespace
}  // namespace sgrpo::tokenizer
