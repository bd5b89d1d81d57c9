// An output that is an input by any name is refused before anything is read or written.
#include "cli/program.h"

namespace sgrpo::cli {
namespace {

class Outputs : public ::testing::Test {
 protected:
  Outputs() {
    testing::write_tiny_checkpoint(model());
    scratch_.write("rows.jsonl", kRow);
    scratch_.write("run.yaml", "seed: 1\n");
    scratch_.write("a.png", testing::make_png(28, 28, 1));
    for (const char* name : {"rows.jsonl", "run.yaml", "a.png", "model/config.json"})
      std::filesystem::create_hard_link(
          path(name), path(std::filesystem::path(name).stem().string() + ".link"));
  }
  std::filesystem::path model() const { return scratch_ / "model"; }
  std::string path(const std::string& name) const { return (scratch_ / name).string(); }
  void expect_refused(const std::string& input, const std::vector<std::string>& arguments) const {
    const std::string before = core::read_file(path(input));
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    const std::string line = scratch_.shorten(outcome.last_error_line());
    EXPECT_EQ(line.find("sgrpo: error: writing "), 0U) << line;
    EXPECT_NE(line.find(" would destroy the input " + input), std::string::npos) << line;
    EXPECT_EQ(core::read_file(path(input)), before);
  }

  static constexpr const char* kRow =
      R"({"id": "a", "prompt": "what is this", "completion": "bag", "ground_truth": "bag"})"
      "\n";
  testing::Scratch scratch_;
};

TEST_F(Outputs, rows_in_are_never_rows_out) {
  for (const char* command : {"generate", "logprobs"}) {
    for (const char* output : {"rows.jsonl", "rows.link"}) {
      expect_refused("rows.jsonl",
                     {command,
                      "--model",
                      model().string(),
                      "--input",
                      path("rows.jsonl"),
                      "--output",
                      path(output)});
    }
    expect_refused("model/config.json",
                   {command,
                    "--model",
                    model().string(),
                    "--input",
                    path("rows.jsonl"),
                    "--output",
                    path("config.link")});
  }
  expect_refused("rows.jsonl",
                 {"logprobs",
                  "--model",
                  model().string(),
                  "--input",
                  path("rows.jsonl"),
                  "--output",
                  path("o.jsonl"),
                  "--grad",
                  path("rows.link")});
}

TEST_F(Outputs, evaluation_keeps_its_data_and_its_configuration) {
  const std::string name = model().string();
  expect_refused(
      "rows.jsonl",
      {"eval", "--model", name, "--data", path("rows.jsonl"), "--output", path("rows.link")});
  expect_refused("run.yaml",
                 {"eval",
                  path("run.yaml"),
                  "--model",
                  name,
                  "--data",
                  path("rows.jsonl"),
                  "--output",
                  path("run.link")});
}

TEST_F(Outputs, preprocess_keeps_its_image_and_report_its_runs) {
  expect_refused("a.png",
                 {"preprocess",
                  "--model",
                  model().string(),
                  "--image",
                  path("a.png"),
                  "--output",
                  path("a.link")});
  scratch_.write("run/metrics.jsonl", "{\"step\": 1, \"loss\": 1}\n");
  expect_refused(
      "run/metrics.jsonl",
      {"report", "--runs", "[" + path("run") + "]", "--output", path("run/metrics.jsonl")});
}

}  // namespace
}  // namespace sgrpo::cli
