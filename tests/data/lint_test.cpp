// What lint finds in a file, and that it counts tokens as the encoder does.
#include "sgrpo/data/lint.h"

#include <gtest/gtest.h>

#include "data/data_files.h"
#include "sgrpo/core/interrupt.h"
#include "testing/png.h"

namespace sgrpo::data {
namespace {

using core::str;

class Lint : public DataFiles {
 protected:
  /// The rows of a file with these lines.
  std::vector<LintedRow> lint(const std::string& lines, const LintOptions& options = {}) {
    return lint_file(write("rows.jsonl", lines), options);
  }
  static LintOptions with_model(int64_t max_prompt_tokens = 4096, int64_t max_ground_truth = 0) {
    EncoderSpec spec = golden_spec();
    spec.max_prompt_tokens = max_prompt_tokens;
    spec.max_ground_truth_tokens = max_ground_truth;
    LintOptions options;
    options.encoder = std::make_shared<const PromptEncoder>(spec);
    return options;
  }
  /// "check: reason", one a line.
  std::string problems(const LintedRow& row) const {
    std::string text;
    for (const Problem& problem : row.problems)
      text += problem.check + ": " + shorten(problem.reason) + "\n";
    return text;
  }
};

TEST_F(Lint, good_rows_have_no_problems_and_no_tokens_without_a_model) {
  copy_image("gray_90x70.png", "a.png");
  const auto rows = lint(R"({"id": "r", "prompt": "x", "images": ["a.png"], "ground_truth": "y"})"
                         "\n");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(problems(rows[0]), "");
  EXPECT_EQ(rows[0].prompt_tokens, -1);
  EXPECT_EQ(rows[0].ground_truth_tokens, -1);
}

TEST_F(Lint, bad_rows_are_named_by_file_line_and_id_with_every_reason) {
  write("empty.png", "");
  const auto rows = lint(
      "{\"id\": \"a\", \"prompt\": \"x\"}\n"
      "{broken\n"
      "\n"
      "{\"id\": \"a\", \"prompt\": \"x\", \"images\": [\"none.png\", \"empty.png\"]}\n"
      "{\"id\": \"b\", \"images\": []}\n");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(problems(rows[0]), "");
  EXPECT_EQ(rows[1].record, nullptr);
  EXPECT_EQ(shorten(rows[1].message()).find("rows.jsonl:2 (id '2'): not valid JSON"), 0u)
      << rows[1].message();
  ASSERT_EQ(rows[2].problems.size(), 3u) << problems(rows[2]);
  EXPECT_EQ(rows[2].problems[0].check, "duplicate_id");
  EXPECT_EQ(shorten(rows[2].message())
                .find("rows.jsonl:4 (id 'a'): line 1 has this id too; ids must be unique; "),
            0u)
      << rows[2].message();
  EXPECT_NE(rows[2].problems[1].reason.find("none.png"), std::string::npos);
  EXPECT_EQ(shorten(rows[2].problems[2].reason),
            "empty.png: is empty (0 bytes); copy or download the file again");
  EXPECT_EQ(rows[3].problems.at(0).check, "row");
}

TEST_F(Lint, tokens_are_those_of_the_encoder_for_every_orientation) {
  std::string lines;
  for (const char* file : {"exif6_88x60.png", "exif8_120x80.jpg", "gray_90x70.png"}) {
    copy_image(file, file);
    lines += str(R"({"prompt": "What is <image> this?", "ground_truth": "a bag", "images": [")",
                 file,
                 "\"]}\n");
  }
  lines +=
      "{\"prompt\": \"no picture\", \"ground_truth\": \"a\", \"ground_truth_completion\": "
      "\"a b c d\"}\n";
  LintOptions options = with_model();
  for (const ImageCheck check : {ImageCheck::kHeader, ImageCheck::kFull}) {
    options.images = check;
    for (const LintedRow& row : lint(lines, options)) {
      EXPECT_EQ(problems(row), "");
      const EncodedPrompt prompt = options.encoder->encode(row.record);
      EXPECT_EQ(row.prompt_tokens, prompt.num_tokens());
      EXPECT_EQ(row.ground_truth_tokens, static_cast<int64_t>(prompt.ground_truth_ids.size()));
    }
  }
}

TEST_F(Lint, rows_beyond_the_limits_are_named_with_both_numbers) {
  const std::string row = R"({"id": "r", "prompt": "x", "ground_truth": "a bag"})";
  const LintedRow fits = lint(row + "\n", with_model()).at(0);
  EXPECT_EQ(problems(lint(row + "\n", with_model(fits.prompt_tokens, fits.ground_truth_tokens))[0]),
            "");
  const LintedRow tight =
      lint(row + "\n", with_model(fits.prompt_tokens - 1, fits.ground_truth_tokens - 1)).at(0);
  EXPECT_EQ(problems(tight),
            str("long_prompt: the prompt has ",
                fits.prompt_tokens,
                " tokens, at most ",
                fits.prompt_tokens - 1,
                " are allowed (data.max_prompt_tokens); raise the limit, shorten the text or lower "
                "data.max_pixels (0 tokens are of images)\n"
                "long_ground_truth: the ground truth has ",
                fits.ground_truth_tokens,
                " tokens, at most ",
                fits.ground_truth_tokens - 1,
                " are allowed (rollout.max_new_tokens)\n"));
}

TEST_F(Lint, placeholder_tokens_in_text_are_problems) {
  const auto rows = lint(R"({"prompt": "x", "ground_truth": "<|image_pad|>"})"
                         "\n"
                         R"({"prompt": "<|image_pad|> x", "ground_truth": "y"})"
                         "\n",
                         with_model());
  EXPECT_EQ(problems(rows.at(0)),
            "ground_truth: the ground truth contains an image or video placeholder token; remove "
            "it\n");
  EXPECT_EQ(problems(rows.at(1)).find("row: the prompt's text contains the placeholder token"), 0u)
      << problems(rows[1]);
}

TEST_F(Lint, prompts_that_end_with_the_answer_are_for_sft_alone) {
  const std::string row =
      R"({"messages": [{"role": "user", "content": "Say yes"}, {"role": "assistant", "content": "yes"}]})"
      "\n";
  for (const bool has_model : {false, true}) {
    LintOptions options = has_model ? with_model() : LintOptions{};
    EXPECT_EQ(problems(lint(row, options).at(0)), str("prompt: ", kLastTurnReason, "\n"));
    options.takes_last_turn = options.requires_completion = true;
    if (has_model) {
      EncoderSpec spec = options.encoder->spec();
      spec.takes_last_turn = true;
      options.encoder = std::make_shared<const PromptEncoder>(spec);
    }
    EXPECT_EQ(problems(lint(row, options).at(0)), "");
  }
}

TEST_F(Lint, tokens_follow_the_limits_of_an_image_part) {
  copy_image("rgb_244x138.png", "a.png");
  const std::string row =
      R"({"prompt": [{"role": "user", "content": [{"type": "image", "image": "a.png", "max_pixels": 12544}]}]})"
      "\n"
      R"({"prompt": [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}]})"
      "\n";
  const LintOptions options = with_model();
  const auto rows = lint(row, options);
  for (const LintedRow& one : rows)
    EXPECT_EQ(one.prompt_tokens, options.encoder->encode(one.record).num_tokens());
  EXPECT_LT(rows.at(0).prompt_tokens, rows.at(1).prompt_tokens);
  EXPECT_EQ(rows.at(1).same_prompt_line, 0) << "another size is another prompt";
}

TEST_F(Lint, damage_behind_the_header_needs_the_full_check) {
  // Checksums hold, but the compressed data is none.
  const std::string size =
      sgrpo::testing::be32(8) + sgrpo::testing::be32(8) + std::string("\x08\x02\0\0\0", 5);
  write("a.png",
        "\x89PNG\r\n\x1A\n" + sgrpo::testing::png_chunk("IHDR", size) +
            sgrpo::testing::png_chunk("IDAT", std::string(64, '\x5A')) +
            sgrpo::testing::png_chunk("IEND", ""));
  const std::string row = "{\"prompt\": \"x\", \"images\": [\"a.png\"]}\n";
  LintOptions options;
  EXPECT_EQ(problems(lint(row, options).at(0)), "");
  options.images = ImageCheck::kFull;
  EXPECT_EQ(lint(row, options).at(0).problems.at(0).check, "image");
}

TEST_F(Lint, images_that_are_not_looked_at_leave_prompt_tokens_unknown) {
  LintOptions options = with_model();
  options.images = ImageCheck::kNone;
  const auto rows =
      lint("{\"prompt\": \"x\", \"images\": [\"none.png\"]}\n{\"prompt\": \"x\"}\n", options);
  EXPECT_EQ(problems(rows.at(0)), "");
  EXPECT_EQ(rows[0].prompt_tokens, -1);
  EXPECT_GT(rows.at(1).prompt_tokens, 0);
}

TEST_F(Lint, rows_that_repeat_a_prompt_are_marked_but_not_bad) {
  copy_image("rgb_28x28.png", "a.png");
  copy_image("rgb_56x56.png", "b.png");
  const auto rows = lint(
      "{\"prompt\": \"x\", \"images\": [\"a.png\"], \"ground_truth\": \"1\"}\n"
      "{\"prompt\": \"x\", \"images\": [\"b.png\"], \"ground_truth\": \"1\"}\n"
      "{\"prompt\": \"x\", \"images\": [\"a.png\"], \"ground_truth\": \"1\"}\n"
      "{\"prompt\": \"<image>x\", \"images\": [\"a.png\"], \"ground_truth\": \"2\"}\n");
  std::vector<int64_t> lines;
  for (const LintedRow& row : rows) {
    EXPECT_EQ(problems(row), "");
    lines.push_back(row.same_prompt_line);
  }
  EXPECT_EQ(lines, (std::vector<int64_t>{0, 0, 1, 1}));
  EXPECT_FALSE(rows[2].contradicts);
  EXPECT_TRUE(rows[3].contradicts);
}

TEST_F(Lint, completion_is_checked_where_it_is_learnt_from) {
  LintOptions options = with_model();
  options.requires_completion = true;
  const auto rows = lint(
      "{\"prompt\": \"x\"}\n"
      "{\"prompt\": \"x\", \"completion\": \"a <|image_pad|>\"}\n"
      "{\"prompt\": \"x\", \"completion\": \"fine\"}\n",
      options);
  EXPECT_EQ(problems(rows.at(0)),
            "completion: no completion, ground_truth_completion or ground_truth to learn from\n");
  EXPECT_EQ(problems(rows.at(1)),
            "completion: the completion contains an image or video placeholder token; remove it\n");
  EXPECT_EQ(problems(rows.at(2)), "");
  options.requires_completion = false;
  EXPECT_EQ(problems(lint("{\"prompt\": \"x\"}\n", options).at(0)), "");
}

TEST_F(Lint, image_for_a_text_model_is_a_problem_with_a_remedy) {
  copy_image("rgb_28x28.png", "a.png");
  EncoderSpec spec = golden_spec();
  spec.image_token_id = spec.video_token_id = -1;
  spec.processor.reset();
  LintOptions options;
  options.encoder = std::make_shared<const PromptEncoder>(spec);
  const auto rows = lint("{\"prompt\": \"x\", \"images\": [\"a.png\"]}\n", options);
  EXPECT_EQ(problems(rows.at(0)),
            "prompt: the row has images, but the model takes text only; choose a vision-language "
            "checkpoint or remove the row\n");
}

TEST_F(Lint, catalog_looks_at_every_file_once_and_names_the_slowest) {
  copy_image("rgb_500x350.jpg", "large.jpg");
  copy_image("rgb_28x28.png", "small.png");
  LintOptions options;
  options.images = ImageCheck::kFull;
  const std::string row = "{\"prompt\": \"x\", \"images\": [\"small.png\", \"large.jpg\"]}\n";
  for (int i = 0; i < 2; ++i) {  // a process's first look pays for what the second finds ready
    options.catalog = std::make_shared<ImageCatalog>(ImageCheck::kFull, *golden_spec().processor);
    lint(row, options);
  }
  EXPECT_EQ(problems(lint(row + row + row, options).at(2)), "");
  std::filesystem::remove(folder_ / "large.jpg");
  EXPECT_EQ(problems(lint(row, options).at(0)), "");  // known already
  const auto costs = options.catalog->costs();
  ASSERT_EQ(costs.size(), 2u);
  EXPECT_EQ(shorten(costs[0].path), "large.jpg");
  EXPECT_GT(costs[0].cpu_ms, costs[1].cpu_ms);
  EXPECT_GT(costs[1].cpu_ms, 0.0);
}

TEST_F(Lint, requested_stop_ends_the_check) {
  core::request_stop();
  EXPECT_THROW(lint("{\"prompt\": \"x\"}\n"), core::Interrupted);
  core::request_stop(false);
}

TEST(TokenSummary, percentiles_are_nearest_ranks_of_known_counts) {
  std::vector<int64_t> tokens = {-1, -1};
  for (int64_t i = 10; i >= 1; --i) tokens.push_back(10 * i);
  const TokenSummary summary = summarise_tokens(tokens);
  EXPECT_EQ(summary.count, 10);
  EXPECT_DOUBLE_EQ(summary.mean, 55.0);
  EXPECT_EQ(summary.p50, 50);  // the 5th of 10
  EXPECT_EQ(summary.p90, 90);
  EXPECT_EQ(summary.p99, 100);
  EXPECT_EQ(summary.max, 100);
  EXPECT_EQ(summarise_tokens({-1}).count, 0);
}

}  // namespace
}  // namespace sgrpo::data
