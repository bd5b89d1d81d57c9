// Stages: which rows which steps of a run train on, and that a run goes on among them.
#include <set>

#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

class Curriculum : public Runs {
 protected:
  Overrides three_stages() const {
    for (const uint32_t first : {100U, 200U, 300U})
      write_rows(core::str("stage-", first, ".jsonl"), 6, first);
    return both(coin(),
                {core::str("data.train=[{path: ",
                           (scratch_ / "stage-100.jsonl").string(),
                           ", until_step: 2}, {path: ",
                           (scratch_ / "stage-200.jsonl").string(),
                           ", from_step: 2, until_step: 4, weight: 2}, {path: ",
                           (scratch_ / "stage-300.jsonl").string(),
                           ", from_step: 5}]")});
  }
  /// The stages that a step took rows of, by the hundreds of their pictures.
  static std::set<char> stages_of(const std::filesystem::path& run, int64_t step) {
    std::set<char> stages;
    for (const Json& row : completions_of(run, step))
      stages.insert(row.at("prompt_id").get<std::string>().at(4));
    return stages;
  }
};

TEST_F(Curriculum, each_stage_has_its_steps_whatever_is_drawn_besides) {
  const auto folder = run("run",
                          both(three_stages(),
                               {"trainer.steps=6",
                                "rollout.filter_groups=zero_spread",
                                "injection.when=never",
                                "rollout.group_size=2"}));
  const std::vector<std::set<char>> allowed = {{'1'}, {'1', '2'}, {'2'}, {'2'}, {'3'}, {'3'}};
  double dropped = 0.0;
  for (int64_t step = 1; step <= 6; ++step) {
    dropped +=
        metrics_of(folder)[static_cast<size_t>(step - 1)].at("rollout/dropped").get<double>();
    for (const char stage : stages_of(folder, step))
      EXPECT_EQ(allowed[static_cast<size_t>(step - 1)].count(stage), 1U) << stage << " at " << step;
  }
  EXPECT_GT(dropped, 0.0);
}

TEST_F(Curriculum, a_run_goes_on_to_the_bit_in_every_stage) {
  const Overrides options = both(three_stages(), {"trainer.save_every=1", "trainer.keep_last=0"});
  const auto whole = run("whole", both(options, {"trainer.steps=6"}));
  for (const int64_t step : {1, 3, 4}) {
    const std::string name = core::str("cut-", step);
    run(name, both(options, {core::str("trainer.steps=", step)}));
    const auto cut = run(name, both(options, {"trainer.steps=6"}));
    expect_same_metrics(whole, cut);
    expect_same_bytes(weights_of(whole, 6), weights_of(cut, 6));
  }
}

TEST_F(Curriculum, another_stage_is_other_data) {
  const Overrides options = both(three_stages(), {"trainer.save_every=1"});
  run("run", both(options, {"trainer.steps=2"}));
  Overrides changed = options;
  for (std::string& text : changed) {
    const size_t place = text.find("from_step: 5");
    if (place != std::string::npos) text.replace(place, 12, "from_step: 4");
  }
  const std::string message =
      testing::message_of<core::UserError>([&] { run("run", both(changed, {"trainer.steps=6"})); });
  EXPECT_NE(message.find("data.train"), std::string::npos) << message;
}

}  // namespace
}  // namespace sgrpo::trainer
