// Rows of no, one and many images through the program, and rows that a run cannot use.
#include "cli/program.h"
#include "testing/tiny_families.h"

namespace sgrpo::cli {
namespace {

class ImageRows : public ::testing::Test {
 protected:
  ImageRows() {
    scratch_.write("a.png", testing::make_png(14, 14, 1));
    scratch_.write("b.png", testing::make_png(28, 14, 2));
  }

  std::string model() const {
    testing::write_tiny_checkpoint(scratch_ / "model");
    return (scratch_ / "model").string();
  }
  std::string text_model() const {
    testing::TinyCheckpoint tiny;
    tiny.config = testing::tiny_text_model("qwen2", "Qwen2ForCausalLM");
    tiny.preprocessor = nullptr;
    testing::write_tiny_checkpoint(scratch_ / "text", tiny);
    return (scratch_ / "text").string();
  }
  std::string rows(const std::string& lines) const { return scratch_.write("rows.jsonl", lines); }

  static std::string text_row(const std::string& id) {
    return R"({"id": ")" + id + R"(", "prompt": "Say it", "ground_truth": "y"})" + "\n";
  }
  static std::string image_row(const std::string& id, int images) {
    std::string paths;
    for (int i = 0; i < images; ++i)
      paths += core::str(i == 0 ? "" : ", ", i % 2 ? "\"b.png\"" : "\"a.png\"");
    return R"({"id": ")" + id + R"(", "prompt": "Which?", "ground_truth": "y", "images": [)" +
           paths + "]}\n";
  }

  /// Trains two steps; metrics and log of the run.
  Outcome train(const std::string& model, const std::string& data, std::vector<std::string> more) {
    std::vector<std::string> arguments = {"train",
                                          "output_dir=" + (scratch_ / "run").string(),
                                          "model.path=" + model,
                                          "data.train=" + data,
                                          "data.max_bad_fraction=0.5",
                                          "rollout.max_new_tokens=3",
                                          "rollout.group_size=2",
                                          "trainer.prompts_per_step=3",
                                          "trainer.steps=2"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  std::vector<core::Json> metrics() const {
    std::vector<core::Json> result;
    const std::string text = core::read_file(scratch_ / "run" / "metrics.jsonl");
    for (const std::string& line : core::split(core::trim(text), '\n'))
      result.push_back(core::parse_json(line, "metrics"));
    return result;
  }

  testing::Scratch scratch_;
};

TEST_F(ImageRows, train_takes_text_one_image_and_sixty_four_in_one_batch) {
  const std::string data = rows(text_row("t") + image_row("one", 1) + image_row("many", 64));
  const Outcome outcome = train(model(), data, {});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const core::Json& row : metrics()) {
    EXPECT_EQ(row.at("data/images"), 65);
    EXPECT_GT(row.at("perf/image_ms").get<double>(), 0.0);
    EXPECT_EQ(row.at("data/rejected_rows"), 0);
    EXPECT_GT(row.at("grad_norm").get<double>(), 0.0);
  }
}

TEST_F(ImageRows, generate_takes_text_one_image_and_sixty_four) {
  const std::string data = rows(text_row("t") + image_row("one", 1) + image_row("many", 64));
  const std::string output = (scratch_ / "out.jsonl").string();
  const Outcome outcome = run({"generate",
                               "--model",
                               model(),
                               "--input",
                               data,
                               "--output",
                               output,
                               "--max-new-tokens",
                               "3",
                               "--ignore-eos"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto lines = core::split(core::trim(core::read_file(output)), '\n');
  ASSERT_EQ(lines.size(), 3u);
  for (const std::string& line : lines)
    EXPECT_EQ(core::parse_json(line, "row").at("completion_ids").size(), 3u);
}

TEST_F(ImageRows, image_for_a_text_model_is_a_bad_row_of_every_command) {
  const std::string folder = text_model(), data = rows(text_row("t") + image_row("i", 1));
  const std::string reason =
      "rows.jsonl:2 (id 'i'): the row has images, but the model takes text only; choose a "
      "vision-language checkpoint or remove the row";
  const std::string output = (scratch_ / "out.jsonl").string();
  const auto logged = [&](const Outcome& outcome) { return scratch_.shorten(outcome.err); };

  const Outcome generated = run({"generate",
                                 "--model",
                                 folder,
                                 "--input",
                                 data,
                                 "--output",
                                 output,
                                 "--max-new-tokens",
                                 "2"});
  EXPECT_EQ(generated.code, 2);
  EXPECT_NE(logged(generated).find(reason), std::string::npos) << generated.err;
  EXPECT_EQ(core::split(core::trim(core::read_file(output)), '\n').size(), 2u);

  const Outcome linted = run({"lint", "--model", folder, "--data", data});
  EXPECT_EQ(linted.code, 2);
  EXPECT_NE(scratch_.shorten(linted.out).find(reason), std::string::npos) << linted.out;

  const Outcome trained = train(folder, data, {});
  EXPECT_EQ(trained.code, 0) << trained.err;
  EXPECT_NE(logged(trained).find("bad row: " + reason), std::string::npos) << trained.err;
  EXPECT_EQ(metrics().back().at("data/rejected_rows"), 1);
  EXPECT_EQ(metrics().back().at("data/images"), 0);
}

TEST_F(ImageRows, frozen_vision_tower_of_a_text_model_is_refused) {
  const Outcome outcome = train(text_model(), rows(text_row("t")), {"model.freeze=[vision]"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.err.find("model.freeze lists 'vision', but "), std::string::npos);
  EXPECT_NE(
      outcome.err.find("is a qwen2 model, which has no vision tower: remove it from the list"),
      std::string::npos)
      << outcome.err;
}

TEST_F(ImageRows, row_without_ground_truth_is_a_bad_row_of_the_supervised_first_steps) {
  const std::string data =
      rows(text_row("a") + text_row("b") + R"({"id": "c", "prompt": "x"})" + "\n");
  const std::string folder = model();
  const Outcome outcome = train(folder, data, {"trainer.sft_steps=1"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(scratch_.shorten(outcome.err)
                .find("bad row: rows.jsonl:3 (id 'c'): no ground_truth or ground_truth_completion "
                      "to learn from, which the SFT steps need (trainer.sft_steps = 1)"),
            std::string::npos)
      << outcome.err;
  EXPECT_EQ(metrics().front().at("data/rejected_rows"), 1);
  std::filesystem::remove_all(scratch_ / "run");
  const Outcome strict = train(folder, data, {"trainer.sft_steps=1", "data.max_bad_fraction=0"});
  EXPECT_EQ(strict.code, 2);
  EXPECT_NE(strict.err.find("1 of the 3 rows are bad, more than data.max_bad_fraction = 0 allows"),
            std::string::npos)
      << strict.err;
}

TEST_F(ImageRows, unknown_verifier_of_a_row_is_a_bad_row) {
  const std::string data = rows(text_row("a") + text_row("b") +
                                R"({"id": "c", "prompt": "x", "verifier": "exct"})" + "\n");
  const Outcome outcome = train(model(), data, {});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(
      scratch_.shorten(outcome.err)
          .find("bad row: rows.jsonl:3 (id 'c'): 'verifier': unknown verifier 'exct' (did you "
                "mean 'exact'?)"),
      std::string::npos)
      << outcome.err;
}

}  // namespace
}  // namespace sgrpo::cli
