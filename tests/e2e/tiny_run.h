// A user's files for a run of a few thousand parameters, and the program on them.
#pragma once

#include <string>
#include <vector>

#include "e2e/process.h"
#include "testing/png.h"
#include "testing/tiny_config.h"

namespace sgrpo::e2e {

using core::Json;
using Words = std::vector<std::string>;

class TinyRun : public ::testing::Test {
 protected:
  /// The whole command line with the program's name.
  static Words command(const Words& words) {
    Words all = {SGRPO_BINARY};
    all.insert(all.end(), words.begin(), words.end());
    return all;
  }
  Outcome run(const Words& words) const {
    return Process(command(words), scratch_.path()).finish();
  }
  /// Runs a command that must succeed.
  Outcome succeed(const Words& words) const {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, 0) << words[0] << ": " << outcome.err;
    return outcome;
  }
  std::string path(const std::string& name) const { return (scratch_ / name).string(); }

  void init() const {
    const Json spec = {
        {"config", testing::tiny_config()},
        {"preprocessor", testing::tiny_preprocessor()},
        {"tokenizer", (testing::kRepository / "configs/study/tokenizer.json").string()},
        {"chat_template", (testing::kRepository / "configs/study/chat_template.jinja").string()},
        {"init_std", 0.3}};
    scratch_.write("spec.yaml", spec.dump(2));  // JSON is YAML
    succeed({"init", "--spec", path("spec.yaml"), "--output", path("base"), "--seed", "3"});
  }
  void write_rows(const std::string& file, int64_t count, uint32_t first) const {
    std::vector<Json> rows;
    for (int64_t i = 0; i < count; ++i) {
      const auto picture = first + static_cast<uint32_t>(i);
      const std::string image = core::str("img/", picture, ".png");
      scratch_.write(image, testing::make_png(28, 28, picture));
      rows.push_back({{"id", core::str("r", picture)},
                      {"prompt", "<image>what is this"},
                      {"images", {image}},
                      {"ground_truth", i % 2 == 0 ? "bag" : "shoe"}});
    }
    scratch_.write(file, testing::to_jsonl(rows));
  }
  /// A configuration file as a user writes it.
  void write_config() const {
    scratch_.write("run.yaml",
                   core::str("model: {path: ",
                             path("base"),
                             "}\ndata: {train: ",
                             path("train.jsonl"),
                             ", eval: {val: ",
                             path("val.jsonl"),
                             "}}\nrollout: {group_size: 4, max_new_tokens: 6}\n",
                             "trainer: {steps: 2, prompts_per_step: 4}\n",
                             "optim: {lr: 1.0e-3}\neval: {every: 1}\n"));
  }
  void prepare() const {
    init();
    write_rows("train.jsonl", 8, 10);
    write_rows("val.jsonl", 3, 50);
    write_config();
  }
  testing::Scratch scratch_;
};

}  // namespace sgrpo::e2e
