// algorithm.labels: majority, in whole runs.
#include <map>

#include "run_files.h"
#include "sgrpo/eval/accuracy.h"

namespace sgrpo::trainer {
namespace {

class Labels : public Runs {
 protected:
  static Overrides majority(const Overrides& more = {}) {
    return both({"algorithm.labels=majority", "injection.when=never", "rollout.group_size=8"},
                more);
  }
};

/// The answer of a completion: its first letter out of a to m; "" if there is none.
std::string first_letter(const std::string& completion) {
  const size_t at = completion.find_first_of("abcdefghijklm");
  return at == std::string::npos ? "" : completion.substr(at, 1);
}

TEST_F(Labels, who_answers_as_most_do_is_right) {
  const auto folder = run("vote",
                          majority({"verifier.name=regex",
                                    "verifier.params={pattern: '([a-m])', group: 1}",
                                    "verifier.truncated=judge"}));
  std::map<std::string, std::vector<Json>> groups;
  for (const Json& row : completions_of(folder, 1))
    groups[row.at("prompt_id").get<std::string>()].push_back(row);
  ASSERT_EQ(groups.size(), 4U);
  int64_t voted = 0;
  for (const auto& [prompt, rows] : groups) {
    std::vector<std::string> answers;
    for (const Json& row : rows) answers.push_back(first_letter(row.at("completion")));
    const auto winner = eval::majority(answers);
    ASSERT_TRUE(winner);
    for (size_t i = 0; i < rows.size(); ++i) {
      const bool agrees = answers[i] == answers[*winner];
      EXPECT_EQ(rows[i].at("reward"), agrees ? 1.0 : 0.0) << rows[i];
      const std::string status = agrees ? "correct" : answers[i].empty() ? "unparsed" : "incorrect";
      EXPECT_EQ(rows[i].at("status"), status);
      ++voted;
    }
  }
  EXPECT_EQ(voted, 32);
}

TEST_F(Labels, a_group_without_an_answer_has_failed_as_a_whole) {
  const auto folder = run("none",
                          majority({"verifier.name=regex",
                                    "verifier.params={pattern: '(nobody) says this', group: 1}",
                                    "verifier.truncated=judge"}));
  for (const Json& row : completions_of(folder, 1)) {
    EXPECT_EQ(row.at("status"), "unparsed");
    EXPECT_EQ(row.at("reward"), 0.0);
  }
  EXPECT_EQ(metrics_of(folder)[0].at("group/frac_all_fail"), 1.0);
  EXPECT_EQ(metrics_of(folder)[0].at("verifier/unparsed_frac"), 1.0);
}

TEST_F(Labels, rows_need_no_ground_truth_and_given_ones_change_nothing) {
  const Overrides options = majority({"verifier.truncated=judge"});
  const auto with = run("with", options);
  auto data = rows(12, 100);
  for (Json& row : data) row.erase("ground_truth");
  scratch_.write("bare.jsonl", testing::to_jsonl(data));
  const auto without =
      run("without", both(options, {"data.train=" + (scratch_ / "bare.jsonl").string()}));
  EXPECT_EQ(completions_of(with, 1), completions_of(without, 1));
  EXPECT_GT(metrics_of(with)[0].at("reward"), 0.0) << "the first of many answers wins";
}

TEST_F(Labels, a_greedy_baseline_is_judged_by_the_vote_and_has_none) {
  const auto folder = run("remax",
                          majority({"algorithm.estimator=remax",
                                    "verifier.name=regex",
                                    "verifier.params={pattern: '([a-m])', group: 1}",
                                    "verifier.truncated=judge"}));
  EXPECT_GT(metrics_of(folder)[0].at("reward"), 0.0);
}

TEST_F(Labels, what_makes_no_sense_is_refused) {
  EXPECT_EQ(error_of({"algorithm.labels=majority"}),
            "algorithm.labels is majority and injection.when is all_fail: a vote of the members is "
            "no ground truth to inject; expected injection.when: never");
  EXPECT_EQ(error_of(majority({"verifier.name=contains"})),
            "algorithm.labels is majority, with verifier contains, whose answers are no ground "
            "truths: expected exact, choice, numeric, math, count, regex, command or tagged around "
            "one of them");
  EXPECT_EQ(error_of(majority({"verifier.name=regex"})),
            "algorithm.labels is majority, with verifier regex, which compares with a ground truth "
            "only where params.pattern and params.group are set: set both");
  EXPECT_NE(error_of(majority({"verifier.name=tagged", "verifier.params={verifier: json_equal}"}))
                .find("with verifier json_equal"),
            std::string::npos);
  EXPECT_NO_THROW(
      config("tagged", majority({"verifier.name=tagged", "verifier.params={verifier: choice}"})));
}

// A baseline file stands in for the column; ids that it lacks are bad rows.
TEST_F(Labels, pvpo_takes_its_baseline_from_a_file) {
  auto data = rows(12, 100);
  std::vector<Json> measured;
  for (Json& row : data) {
    row.erase("baseline");
    measured.push_back({{"id", row.at("id")}, {"reward", 0.0}, {"status", "incorrect"}});
    measured.push_back({{"id", row.at("id")}, {"reward", 0.5}, {"status", "correct"}});
    measured.push_back({{"id", row.at("id")}, {"reward", 0.0}, {"status", "timeout"}});
  }
  scratch_.write("bare.jsonl", testing::to_jsonl(data));
  scratch_.write("measured.jsonl", testing::to_jsonl(measured));
  const Overrides options = both(coin(), {"algorithm.estimator=pvpo"});
  const Overrides from_file = both(options,
                                   {"data.train=" + (scratch_ / "bare.jsonl").string(),
                                    "data.baseline=" + (scratch_ / "measured.jsonl").string()});
  const auto column = run("column", options), file = run("file", from_file);
  EXPECT_EQ(completions_of(column, 1), completions_of(file, 1)) << "both say 0.25";
  measured.erase(measured.begin(), measured.begin() + 33);
  scratch_.write("measured.jsonl", testing::to_jsonl(measured));
  const testing::LogCapture log;
  EXPECT_THROW(Trainer(config("few", from_file), Task::kPolicyGradient).run(), core::UserError);
  EXPECT_NE(scratch_.shorten(log.text())
                .find("column 'baseline' is missing, expected a number (algorithm.estimator pvpo), "
                      "or rewards of its id in measured.jsonl"),
            std::string::npos)
      << log.text();
  EXPECT_EQ(error_of({"data.baseline=measured.jsonl"}),
            "data.baseline is set, but algorithm.estimator grpo reads no baseline: expected "
            "algorithm.estimator: pvpo, or no data.baseline");
}

}  // namespace
}  // namespace sgrpo::trainer
