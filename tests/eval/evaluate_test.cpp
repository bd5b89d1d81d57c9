#include "sgrpo/eval/evaluate.h"

#include <gtest/gtest.h>

#include <map>

#include <set>
#include "sgrpo/core/text.h"

#include "testing/tiny_policy.h"

namespace sgrpo::eval {
namespace {

using core::Json;
using testing::TinyPolicy;

TEST(PassAtK, hand_values) {
  EXPECT_DOUBLE_EQ(pass_at_k(1, 1, 1), 1.0);
  EXPECT_DOUBLE_EQ(pass_at_k(1, 0, 1), 0.0);
  EXPECT_DOUBLE_EQ(pass_at_k(8, 2, 1), 0.25);
  EXPECT_DOUBLE_EQ(pass_at_k(4, 1, 2), 0.5);  // 1 - C(3,2)/C(4,2) = 1 - 3/6
  EXPECT_DOUBLE_EQ(pass_at_k(5, 2, 3), 0.9);  // 1 - C(3,3)/C(5,3) = 1 - 1/10
  EXPECT_DOUBLE_EQ(pass_at_k(10, 3, 4), 1 - 35.0 / 210.0);
  EXPECT_DOUBLE_EQ(pass_at_k(5, 3, 3), 1.0) << "fewer failures than k";
  EXPECT_DOUBLE_EQ(pass_at_k(5, 0, 5), 0.0);
  EXPECT_NEAR(pass_at_k(65536, 1, 32768), 0.5, 1e-9) << "no overflow";
  EXPECT_THROW(pass_at_k(2, 1, 3), core::ContractError);
}

/// Answers with whether they are correct, as verdicts.
bool is_majority_correct(const std::vector<std::pair<std::string, bool>>& answers, int64_t k) {
  std::vector<Verdict> verdicts;
  for (const auto& [answer, is_correct] : answers) {
    verdicts.push_back({.status = is_correct ? VerdictStatus::kCorrect : VerdictStatus::kIncorrect,
                        .answer = answer});
  }
  std::vector<const Verdict*> pointers;
  for (const Verdict& verdict : verdicts) pointers.push_back(&verdict);
  return majority_is_correct(pointers, k);
}

TEST(Majority, most_frequent_answer_decides_and_the_first_to_appear_wins_ties) {
  EXPECT_TRUE(is_majority_correct({{"a", true}, {"b", false}, {"a", true}}, 3));
  EXPECT_FALSE(is_majority_correct({{"a", true}, {"b", false}, {"b", false}}, 3));
  EXPECT_TRUE(is_majority_correct({{"a", true}, {"b", false}}, 2));
  EXPECT_FALSE(is_majority_correct({{"b", false}, {"a", true}}, 2));
  EXPECT_TRUE(is_majority_correct({{"a", true}, {"b", false}, {"b", false}}, 2))
      << "only the first k vote";
  EXPECT_FALSE(is_majority_correct({}, 1));
}

TEST(Majority, empty_answers_do_not_vote) {
  EXPECT_TRUE(is_majority_correct({{"", false}, {"", false}, {"a", true}}, 3));
  EXPECT_FALSE(is_majority_correct({{"", true}, {"", true}}, 2)) << "nobody voted";
  EXPECT_EQ(majority({"", "b", "a", "a", ""}), 2U);
  EXPECT_EQ(majority({"", ""}), std::nullopt);
}

TEST(Shares, parts_of_a_list_are_disjoint_and_whole) {
  for (int64_t item = 0; item < 7; ++item) {
    int64_t holders = 0;
    for (int64_t index = 0; index < 3; ++index)
      holders += core::Share{.index = index, .count = 3}.holds(item);
    EXPECT_EQ(holders, 1);
    EXPECT_TRUE(core::Share().holds(item));
  }
}

/// Rows over tasks; `pattern` decides per row what passes.
class Evaluate : public ::testing::Test {
 protected:
  data::EvalSet split_of(const std::vector<Json>& rows) {
    const std::string file = scratch_.write("val.jsonl", testing::to_jsonl(rows));
    return data::load_eval_set("val", file, {});
  }
  static EvalJob job(int64_t samples, std::vector<int64_t> k) {
    EvalJob job;
    job.options.samples = samples;
    job.options.k = std::move(k);
    job.options.temperature = samples > 1 ? 1.0 : 0.0;
    job.max_new_tokens = 6;
    return job;
  }
  /// Everything passes under `yes`, nothing under `no`, some under `some`.
  static verifier::VerifierSet verifiers() {
    verifier::VerifierOptions options;
    options.truncated = verifier::Truncated::kJudge;
    options.timeout_s = 0.2;
    const Json instances = core::parse_json(R"({
        "yes": {"name": "regex", "params": {"pattern": "^"}},
        "no": {"name": "regex", "params": {"pattern": "^\u0001$"}},
        "some": {"name": "regex", "params": {"pattern": "[ab]"}},
        "broken": {"name": "command", "params": {"argv": ["false"]}},
        "slow": {"name": "command", "params": {"argv": ["sh", "-c", "read x; sleep 60"]}}})",
                                            "instances");
    return {options, instances, Json::array()};
  }
  static Json row(const std::string& id, const std::string& verifier, const std::string& task) {
    return {{"id", id}, {"prompt", "what is " + id}, {"verifier", verifier}, {"task", task}};
  }
  EvalResult evaluate_rows(const std::vector<Json>& rows, const EvalJob& job) {
    const data::EvalSet split = split_of(rows);
    EvalResult result = evaluate(TinyPolicy::instance().policy(), verifiers(), split, job);
    check_usable(split, result);
    return result;
  }
  static std::string metric(const EvalResult& result, const std::string& name) {
    const StepReport report = metrics_of("val", result.sums);
    return report.has("val/val/" + name) ? core::str(report.get("val/val/" + name)) : "absent";
  }
  testing::Scratch scratch_;
};

TEST_F(Evaluate, tasks_are_averaged_and_macro_is_the_mean_over_tasks) {
  const EvalResult result = evaluate_rows({row("a", "yes", "easy"),
                                           row("b", "yes", "easy"),
                                           row("c", "no", "easy"),
                                           row("d", "no", "hard"),
                                           row("e", "yes", "")},
                                          job(1, {1}));
  const auto value = [&](const std::string& name) {
    return metrics_of("val", result.sums).get("val/val/" + name, -1);
  };
  EXPECT_DOUBLE_EQ(value("pass@1"), 0.6);
  EXPECT_DOUBLE_EQ(value("easy/pass@1"), 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(value("hard/pass@1"), 0.0);
  EXPECT_DOUBLE_EQ(value("macro"), 1.0 / 3.0) << "rows without a task have no part in macro";
  EXPECT_EQ(metric(result, "maj@1"), "absent");
  EXPECT_EQ(metric(result, "n"), "5");
  EXPECT_EQ(metric(result, "easy/pass@1/n"), "3");
  EXPECT_EQ(metric(result, "error"), "0");
  EXPECT_EQ(result.rows.size(), 5U);
  EXPECT_EQ(result.sums.rejected, 0);
}

TEST_F(Evaluate, pass_at_k_and_majority_follow_from_the_samples) {
  const EvalResult result = evaluate_rows(
      {row("a", "some", ""), row("b", "some", ""), row("c", "some", "")}, job(8, {1, 2, 4}));
  for (const int64_t k : {1, 2, 4}) {
    double pass = 0.0, majority = 0.0;
    for (const EvalRow& one : result.rows) {
      ASSERT_EQ(one.samples.size(), 8U);
      int64_t correct = 0;
      std::vector<const Verdict*> verdicts;
      for (const GroupMember& sample : one.samples) {
        correct += sample.verdict.status == VerdictStatus::kCorrect;
        verdicts.push_back(&sample.verdict);
      }
      pass += pass_at_k(8, correct, k) / 3.0;
      majority += majority_is_correct(verdicts, k) ? 1.0 / 3.0 : 0.0;
    }
    const StepReport report = metrics_of("val", result.sums);
    EXPECT_NEAR(report.get(core::str("val/val/pass@", k)), pass, 1e-12);
    EXPECT_NEAR(report.get(core::str("val/val/maj@", k), majority), majority, 1e-12);
    EXPECT_EQ(metric(result, core::str("pass@", k, "/n")), "3");
  }
  const StepReport report = metrics_of("val", result.sums);
  EXPECT_GT(report.get("val/val/pass@4"), report.get("val/val/pass@1"));
}

TEST_F(Evaluate, same_seed_same_result_and_greedy_needs_none) {
  const std::vector<Json> rows = {row("a", "some", ""), row("b", "some", "")};
  const auto texts = [&](EvalJob one) {
    std::vector<std::string> result;
    for (const EvalRow& evaluated : evaluate_rows(rows, one).rows)
      for (const GroupMember& sample : evaluated.samples) result.push_back(sample.completion.text);
    return result;
  };
  EvalJob sampled = job(4, {1});
  const auto first = texts(sampled);
  EXPECT_EQ(texts(sampled), first);
  sampled.seed = 5;
  EXPECT_NE(texts(sampled), first);
  EvalJob greedy = job(1, {1});
  const auto expected = texts(greedy);
  greedy.seed = 5;
  EXPECT_EQ(texts(greedy), expected);
}

// The key of a sample is (seed, step 0, position of the row in its file, index of the sample).
TEST_F(Evaluate, samples_hang_on_seed_row_and_index_alone) {
  std::vector<Json> rows;  // one question, asked more often than are sampled at a time
  for (int64_t i = 0; i < 258; ++i) rows.push_back(row("same", "yes", ""));
  EvalJob sampled = job(2, {1});
  sampled.seed = 3;
  sampled.max_new_tokens = 4;
  const EvalResult all = evaluate_rows(rows, sampled);
  ASSERT_EQ(all.rows.size(), rows.size());
  const auto ids = [](const EvalResult& result, size_t row, size_t sample) {
    return result.rows.at(row).samples.at(sample).completion.token_ids;
  };
  std::set<std::vector<int64_t>> different;
  for (const size_t row : {0, 1, 2, 256, 257})
    for (const size_t sample : {0, 1}) different.insert(ids(all, row, sample));
  EXPECT_EQ(different.size(), 10U);
  const EvalResult few = evaluate_rows({rows[0], rows[1]}, sampled);
  const EncodedPrompt prompt = TinyPolicy::instance().prompt("what is same");
  for (const size_t row : {0, 1, 257}) {
    rollout::SamplingOptions options;
    options.group_size = 2;
    options.max_new_tokens = 4;
    options.seed = 3;
    options.end_token_ids = TinyPolicy::instance().policy().end_token_ids;
    options.masked_ids = TinyPolicy::instance().policy().masked_ids;
    const RolloutGroup group =
        rollout::sample_groups(
            TinyPolicy::instance().model(), {{&prompt, static_cast<int64_t>(row)}}, options)
            .at(0);
    for (const size_t sample : {0, 1}) {
      EXPECT_EQ(ids(all, row, sample), group.members[sample].completion.token_ids) << row;
      if (row < 2) EXPECT_EQ(ids(few, row, sample), ids(all, row, sample)) << row;
    }
  }
}

TEST_F(Evaluate, bad_rows_are_reported_left_out_and_counted) {
  const testing::LogCapture log;
  Json missing = row("c", "yes", "");
  missing["images"] = {"none.png"};
  const EvalResult result = evaluate_rows(
      {row("a", "yes", ""), {{"id", "b"}, {"promt", "typo"}}, missing, row("d", "no", "")},
      job(1, {1}));
  EXPECT_EQ(result.sums.rejected, 2);
  EXPECT_EQ(result.rows.size(), 2U);
  EXPECT_EQ(metric(result, "pass@1"), "0.5");
  const std::string text = scratch_.shorten(log.text());
  EXPECT_NE(text.find("val.jsonl:2 (id 'b'): the row has no 'prompt'"), std::string::npos) << text;
  EXPECT_NE(text.find("val.jsonl:3 (id 'c'): cannot read none.png"), std::string::npos) << text;
}

TEST_F(Evaluate, split_without_a_usable_row_is_an_error) {
  const testing::LogCapture quiet;
  Json missing = row("c", "yes", "");
  missing["images"] = {"none.png"};
  const std::string unreadable =
      testing::message_of<core::UserError>([&] { evaluate_rows({missing}, job(1, {1})); });
  EXPECT_EQ(scratch_.shorten(unreadable),
            "split 'val' has no usable row; the last one: val.jsonl:1 (id 'c'): cannot read "
            "none.png: No such file or directory");
  const std::string unknown = testing::message_of<core::UserError>(
      [&] { evaluate_rows({row("a", "yess", "")}, job(1, {1})); });
  EXPECT_EQ(scratch_.shorten(unknown).find(
                "split 'val' has no usable row; the last one: val.jsonl:1 (id 'a'): "
                "'verifier': unknown verifier 'yess' (did you mean 'yes'?)"),
            0U)
      << unknown;
}

TEST_F(Evaluate, truncated_completions_are_incorrect_unless_judged) {
  const verifier::VerifierSet strict({.name = "regex", .params = {{"pattern", "^"}}}, {}, {});
  const data::EvalSet split = split_of({row("a", "", "")});
  EvalJob one = job(1, {1});
  one.max_new_tokens = 1;
  const EvalResult result = evaluate(TinyPolicy::instance().policy(), strict, split, one);
  EXPECT_EQ(result.rows[0].samples[0].completion.finish_reason, FinishReason::kLength);
  EXPECT_EQ(metric(result, "pass@1"), "0");
}

TEST_F(Evaluate, rows_without_a_verdict_are_counted_and_in_no_mean) {
  const testing::LogCapture log;
  const EvalResult result = evaluate_rows({row("a", "yes", "easy"),
                                           row("b", "broken", "hard"),
                                           row("c", "slow", ""),
                                           row("d", "no", "easy"),
                                           row("e", "exact", "")},
                                          job(1, {1}));
  EXPECT_EQ(metric(result, "pass@1"), "0.5");
  EXPECT_EQ(metric(result, "pass@1/n"), "2");
  EXPECT_EQ(metric(result, "n"), "2");
  EXPECT_EQ(metric(result, "error"), "2") << "a broken verifier, and no ground truth";
  EXPECT_EQ(metric(result, "timeout"), "1");
  EXPECT_EQ(metric(result, "truncated"), "absent");
  EXPECT_EQ(metric(result, "hard/pass@1"), "absent");
  EXPECT_EQ(metric(result, "hard/pass@1/n"), "0");
  EXPECT_EQ(metric(result, "macro"), "0.5") << "of the task that was judged";
  EXPECT_NE(log.text().find("split 'val': 3 of 5 rows were not judged (2 error, 1 timeout): they "
                            "are in no mean"),
            std::string::npos)
      << log.text();
}

TEST_F(Evaluate, mean_over_nothing_is_absent) {
  const testing::LogCapture quiet;
  const EvalResult result = evaluate_rows({row("a", "broken", "t")}, job(2, {1, 2}));
  for (const char* name : {"pass@1", "pass@2", "maj@2", "t/pass@1", "macro"})
    EXPECT_EQ(metric(result, name), "absent") << name;
  EXPECT_EQ(metric(result, "pass@2/n"), "0");
  EXPECT_EQ(metric(result, "n"), "0");
  EXPECT_EQ(metric(result, "error"), "1");
}

TEST_F(Evaluate, masked_truncated_rows_are_counted_apart) {
  const verifier::VerifierSet mask(
      {.name = "regex", .params = {{"pattern", "^"}}, .truncated = verifier::Truncated::kMask},
      {},
      {});
  EvalJob one = job(1, {1});
  one.max_new_tokens = 1;
  const EvalResult result =
      evaluate(TinyPolicy::instance().policy(), mask, split_of({row("a", "", "")}), one);
  EXPECT_EQ(metric(result, "pass@1"), "absent");
  EXPECT_EQ(metric(result, "truncated"), "1");
  EXPECT_EQ(metric(result, "error"), "0");
}

TEST_F(Evaluate, bad_rows_and_shares_change_no_other_rows_completions) {
  const testing::LogCapture quiet;
  Json missing = row("b", "yes", "");
  missing["images"] = {"none.png"};
  const std::vector<Json> good = {
      row("a", "some", ""), row("b", "yes", ""), row("c", "some", ""), row("d", "some", "")};
  std::vector<Json> bad = good;
  bad[1] = missing;
  const auto texts = [](const EvalResult& result) {
    std::map<std::string, std::vector<std::string>> by_id;
    for (const EvalRow& one : result.rows)
      for (const GroupMember& sample : one.samples)
        by_id[one.record->id].push_back(sample.completion.text);
    return by_id;
  };
  auto expected = texts(evaluate_rows(good, job(4, {1})));
  EvalJob half = job(4, {1});
  half.share = {.index = 1, .count = 2};
  const EvalResult share = evaluate_rows(good, half);
  EXPECT_EQ(texts(share), (decltype(expected){{"b", expected["b"]}, {"d", expected["d"]}}));
  EXPECT_EQ(share.sums.judged, 2);
  expected.erase("b");
  EXPECT_EQ(texts(evaluate_rows(bad, job(4, {1}))), expected);
}

TEST_F(Evaluate, metric_names_are_those_that_an_evaluation_gives) {
  const std::vector<Json> rows = {
      row("a", "yes", "easy"), row("b", "yes", ""), row("c", "no", "x")};
  const EvalJob two = job(2, {2, 1});
  std::vector<std::string> given;
  for (const auto& [name, value] : metrics_of("val", evaluate_rows(rows, two).sums).values()) {
    if (!core::ends_with(name, "/n") && name != "val/val/error" && name != "val/val/timeout")
      given.push_back(name);
  }
  EXPECT_EQ(metric_names({split_of(rows)}, two.options), given);
}

}  // namespace
}  // namespace sgrpo::eval
