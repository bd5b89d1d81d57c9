// A text checkpoint whose tokenizer is a SentencePiece model with ChatML tokens behind its pieces,
// from its first token to a trained checkpoint.
#include <gtest/gtest.h>

#include "e2e/process.h"
#include "testing/tiny_config.h"

namespace sgrpo::e2e {
namespace {

using core::Json;
using Words = std::vector<std::string>;

constexpr int64_t kPieces = 600, kStart = kPieces, kEnd = kPieces + 1, kRows = 608;

class SentencePieceCheckpoint : public ::testing::Test {
 protected:
  SentencePieceCheckpoint() {
    const Json spec = {
        {"config",
         {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", kRows},
          {"hidden_size", 32},
          {"intermediate_size", 48},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"rms_norm_eps", 1e-5},
          {"tie_word_embeddings", true}}},
        {"tokenizer", (testing::kRepository / "configs/study/tokenizer.json").string()},
        {"chat_template", (testing::kRepository / "configs/study/chat_template.jinja").string()},
        {"init_std", 0.3}};
    scratch_.write("spec.yaml", spec.dump(2));  // JSON is YAML
    succeed({"init", "--spec", path("spec.yaml"), "--output", path("base")});
    std::filesystem::remove(scratch_ / "base/tokenizer.json");
    std::filesystem::copy_file(
        testing::kRepository / "tests/golden/tokenizer/sentencepiece_bpe/tokenizer.model",
        scratch_ / "base/tokenizer.model");
    write_json("base/tokenizer_config.json",
               {{"tokenizer_class", "LlamaTokenizer"},
                {"add_bos_token", true},
                {"eos_token", "<|im_end|>"},
                {"added_tokens_decoder",
                 {{core::str(kStart), {{"content", "<|im_start|>"}, {"special", true}}},
                  {core::str(kEnd), {{"content", "<|im_end|>"}, {"special", true}}}}}});
    write_json("base/generation_config.json", {{"eos_token_id", {kEnd}}});
  }

  Outcome succeed(const Words& words) const {
    Words command = {SGRPO_BINARY};
    command.insert(command.end(), words.begin(), words.end());
    const Outcome outcome = Process(command, scratch_.path()).finish();
    EXPECT_EQ(outcome.code, 0) << words[0] << ": " << outcome.err;
    return outcome;
  }
  /// What `sgrpo tokenize` answers to one row.
  Json tokenize(const Json& row) const {
    const std::string input = scratch_.write("tokenize.jsonl", core::dump_ascii(row) + "\n");
    const std::string command =
        core::str(SGRPO_BINARY, " tokenize --model ", path("base"), " < ", input);
    const Outcome outcome = Process({"/bin/sh", "-c", command}, scratch_.path()).finish();
    return core::parse_json(outcome.out, "tokenize");
  }
  /// The output rows of generate or logprobs on `model`.
  std::vector<Json> rows_of(const std::string& command, const std::string& model) const {
    Words words = {command, "--model", path(model), "--input", path("train.jsonl")};
    words.insert(words.end(), {"--output", path("out.jsonl")});
    if (command == "generate") words.insert(words.end(), {"--max-new-tokens", "5"});
    succeed(words);
    return testing::read_jsonl(scratch_ / "out.jsonl");
  }
  void write_train_rows() const {
    std::vector<Json> rows;
    for (const char* word : {"the", "Größe", "図書館", "x=1;"})
      rows.push_back(
          {{"id", word}, {"prompt", word}, {"ground_truth", "of"}, {"completion", "of"}});
    scratch_.write("train.jsonl", testing::to_jsonl(rows));
  }
  void write_json(const std::string& name, const Json& value) const {
    scratch_.write(name, value.dump(1));
  }
  std::string path(const std::string& name) const { return (scratch_ / name).string(); }

  testing::Scratch scratch_;
};

TEST_F(SentencePieceCheckpoint, tokenize_prompt_has_the_turns_and_no_bos) {
  const Json answer = tokenize({{"prompt", "the word"}});
  ASSERT_TRUE(answer.contains("ids")) << answer;
  const auto ids = answer["ids"].get<std::vector<int64_t>>();
  EXPECT_EQ(ids.front(), kStart);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kEnd), 1);
  EXPECT_EQ(answer["text"], "<|im_start|>user\nthe word<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(SentencePieceCheckpoint, scores_and_samples_end_with_the_added_token) {
  write_train_rows();
  const auto of = tokenize({{"text", "of"}})["ids"].get<std::vector<int64_t>>();
  for (const Json& row : rows_of("logprobs", "base")) {
    auto expected = of;
    expected.push_back(kEnd);
    EXPECT_EQ(row["completion_ids"], expected) << row;
    EXPECT_EQ(row["logprobs"].size(), expected.size());
  }
  const auto rows = rows_of("generate", "base");
  EXPECT_EQ(rows.size(), 4U);
  for (const Json& row : rows) {
    for (const Json& id : row["completion_ids"]) EXPECT_LE(id, kEnd) << "a row without a token";
    EXPECT_EQ(row["finish_reason"] == "stop", row["completion_ids"].back() == kEnd) << row;
  }
}

TEST_F(SentencePieceCheckpoint, sft_then_train_keeps_the_tokenizer_and_learns) {
  write_train_rows();
  const Words options = {"data.train=" + path("train.jsonl"),
                         "rollout.group_size=4",
                         "rollout.max_new_tokens=5",
                         "trainer.prompts_per_step=4",
                         "trainer.steps=2",
                         "optim.lr=1.0e-2"};
  const auto finish = [&](Words words, const std::string& run, const std::string& model) {
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"model.path=" + path(model), "output_dir=" + path(run)});
    succeed(words);
    EXPECT_EQ(testing::read_jsonl(scratch_ / run / "metrics.jsonl").size(), 2U) << run;
  };
  finish({"sft"}, "sft", "base");
  finish({"train"}, "rl", "sft");
  for (const char* name : {"tokenizer.model", "tokenizer_config.json", "chat_template.jinja"})
    EXPECT_EQ(core::read_file(scratch_ / "rl/checkpoints/latest/model" / name),
              core::read_file(scratch_ / "base" / name))
        << name;
  const auto score = [&](const std::string& model) {
    double sum = 0;
    for (const Json& row : rows_of("logprobs", model))
      for (const Json& logprob : row["logprobs"]) sum += logprob.get<double>();
    return sum;
  };
  EXPECT_GT(score("sft"), score("base"));
  EXPECT_EQ(rows_of("generate", "rl").size(), 4U);
}

}  // namespace
}  // namespace sgrpo::e2e
