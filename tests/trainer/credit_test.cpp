// What estimators and injection ask of a step: baselines, columns, verdicts on ground truths.
#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

using Credit = Runs;

TEST_F(Credit, remax_compares_with_one_greedy_sample_that_nobody_sees) {
  const auto folder = run("remax", both(coin(), {"algorithm.estimator=remax"}));
  std::map<std::string, std::set<double>> baselines;
  size_t rows = 0;
  for (const Json& row : completions_of(folder, 1)) {
    ++rows;
    baselines[row.at("prompt_id")].insert(row.at("reward").get<double>() -
                                          row.at("advantage").get<double>());
  }
  EXPECT_EQ(rows, 16U);
  EXPECT_EQ(baselines.size(), 4U);
  for (const auto& [prompt, values] : baselines) {
    ASSERT_EQ(values.size(), 1U) << prompt;
    EXPECT_TRUE(*values.begin() == 0.0 || *values.begin() == 1.0) << prompt;
  }
  // Sampling of the members themselves is that of any other estimator.
  const auto plain = run("plain", coin());
  EXPECT_EQ(metrics_of(folder)[0].at("reward"), metrics_of(plain)[0].at("reward"));
  EXPECT_EQ(metrics_of(folder)[0].at("completions/mean_length"),
            metrics_of(plain)[0].at("completions/mean_length"));
}

TEST_F(Credit, remax_cannot_replay) {
  EXPECT_EQ(error_of({"algorithm.estimator=remax", "rollout.replay=recorded.jsonl"}),
            "rollout.replay is set, and estimator remax compares with a completion that it samples "
            "itself; expected another algorithm.estimator, or no replay");
}

TEST_F(Credit, a_row_without_the_estimators_column_is_a_bad_row) {
  auto data = rows(4, 100);
  data[1].erase("baseline");
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const std::string message =
      error_of({"algorithm.estimator=pvpo", "data.shuffle=false", "data.max_bad_fraction=0"});
  EXPECT_NE(message.find("train.jsonl:2 (id 'row-101'): column 'baseline' is missing, expected a "
                         "number (algorithm.estimator pvpo)"),
            std::string::npos)
      << message;
  data[2]["baseline"] = "high";
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const auto folder =
      run("some", both(coin(), {"algorithm.estimator=pvpo", "data.max_bad_fraction=0.9"}));
  EXPECT_EQ(metrics_of(folder)[0].at("data/rejected_rows"), 2);
  for (const Json& row : completions_of(folder, 1))
    EXPECT_EQ(row.at("advantage").get<double>(), row.at("reward").get<double>() - 0.25);
}

TEST_F(Credit, retention_rows_are_left_to_grpo_where_an_estimator_reads_more) {
  auto kept = rows(4, 300);
  for (Json& row : kept) row.erase("baseline");
  scratch_.write("kept.jsonl", testing::to_jsonl(kept));
  for (const std::string name : {"pvpo", "remax", "gdpo"}) {
    const auto folder = run("kept-" + name,
                            both(coin(),
                                 {"algorithm.estimator=" + name,
                                  "injection.gt_reward=judged",
                                  "retention.kind=rows",
                                  "retention.data=" + (scratch_ / "kept.jsonl").string()}));
    EXPECT_EQ(metrics_of(folder)[0].at("retention/rows"), 1) << name;
    EXPECT_EQ(metrics_of(folder)[0].at("data/rejected_rows"), 0) << name;
  }
}

/// Rewards and texts of the injected members.
std::map<double, std::string> injected(const std::vector<Json>& rows) {
  std::map<double, std::string> result;
  for (const Json& row : rows)
    if (row.at("origin") == "ground_truth")
      result[row.at("reward").get<double>()] = row.at("completion").get<std::string>();
  return result;
}

TEST_F(Credit, a_judged_ground_truth_earns_nothing_where_it_has_no_part) {
  const Overrides options = {
      "verifier.truncated=judge",
      "verifiers={right: {name: regex, params: {pattern: '^'}}, form: {name: regex, params: "
      "{pattern: '^'}}}",
      "injection.when=always",
      "injection.mode=append",
      "injection.gt_reward=judged"};
  const auto whole =
      run("whole", both(options, {"rewards=[{verifier: right, weight: 3}, {verifier: form}]"}));
  EXPECT_EQ(injected(completions_of(whole, 1)).begin()->first, 1.0);
  const auto part = run("part",
                        both(options,
                             {"rewards=[{verifier: right, weight: 3}, {verifier: form, "
                              "on_ground_truth: false}]"}));
  const auto members = injected(completions_of(part, 1));
  ASSERT_EQ(members.size(), 1U);
  EXPECT_EQ(members.begin()->first, 0.75);
}

TEST_F(Credit, a_template_writes_the_ground_truth_in_the_models_format) {
  auto data = rows(1, 100);
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const Overrides options = {"injection.gt_template='a {ground_truth}'",
                             "trainer.prompts_per_step=1"};
  EXPECT_EQ(injected(completions_of(run("template", options), 1)).begin()->second, "a bag");
  data[0]["ground_truth_completion"] = "my own";
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  EXPECT_EQ(injected(completions_of(run("own", options), 1)).begin()->second, "my own");
}

TEST_F(Credit, graded_rewards_are_repaired_where_they_are_low) {
  auto data = rows(4, 100);
  for (Json& row : data) row["ground_truth"] = "[1, 2, 3, 4]";
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const auto folder = run("boxes",
                          {"verifier.name=box_iou",
                           "verifier.params={reward: iou}",
                           "rollout.max_new_tokens=16",
                           "injection.when=low_reward",
                           "injection.victim=lowest_reward",
                           "injection.gt_reward=relative"});
  EXPECT_EQ(metrics_of(folder)[0].at("cgi/injected_frac"), 1);
  EXPECT_EQ(injected(completions_of(folder, 1)).begin()->first, 0.5);
}

}  // namespace
}  // namespace sgrpo::trainer
