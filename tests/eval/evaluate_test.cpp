#include "sgrpo/eval/evaluate.h"

#include <gtest/gtest.h>

#include <set>

#include "sgrpo/rollout/rollout.h"
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

std::vector<GroupMember> samples(const std::vector<std::pair<std::string, bool>>& texts) {
  std::vector<GroupMember> result;
  for (const auto& [text, is_correct] : texts) {
    GroupMember member;
    member.completion.text = text;
    member.verdict.status = is_correct ? VerdictStatus::kCorrect : VerdictStatus::kIncorrect;
    result.push_back(member);
  }
  return result;
}

TEST(Majority, most_frequent_text_decides_and_the_first_to_appear_wins_ties) {
  EXPECT_TRUE(majority_is_correct(samples({{"a", true}, {"b", false}, {"a", true}}), 3));
  EXPECT_FALSE(majority_is_correct(samples({{"a", true}, {"b", false}, {"b", false}}), 3));
  EXPECT_TRUE(majority_is_correct(samples({{"a", true}, {"b", false}}), 2));
  EXPECT_FALSE(majority_is_correct(samples({{"b", false}, {"a", true}}), 2));
  EXPECT_TRUE(majority_is_correct(samples({{"a", true}, {"b", false}, {"b", false}}), 2))
      << "only the first k vote";
  EXPECT_FALSE(majority_is_correct({}, 1));
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
    const Json instances = core::parse_json(R"({
        "yes": {"name": "regex", "params": {"pattern": "^"}},
        "no": {"name": "regex", "params": {"pattern": "^\u0001$"}},
        "some": {"name": "regex", "params": {"pattern": "[ab]"}}})",
                                            "instances");
    return {options, instances, Json::array()};
  }
  static Json row(const std::string& id, const std::string& verifier, const std::string& task) {
    return {{"id", id}, {"prompt", "what is " + id}, {"verifier", verifier}, {"task", task}};
  }
  EvalResult evaluate_rows(const std::vector<Json>& rows, const EvalJob& job) {
    return evaluate(TinyPolicy::instance().policy(), verifiers(), split_of(rows), job);
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
    return result.metrics.get("val/val/" + name, -1);
  };
  EXPECT_DOUBLE_EQ(value("pass@1"), 0.6);
  EXPECT_DOUBLE_EQ(value("easy/pass@1"), 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(value("hard/pass@1"), 0.0);
  EXPECT_DOUBLE_EQ(value("macro"), 1.0 / 3.0) << "rows without a task have no part in macro";
  EXPECT_FALSE(result.metrics.has("val/val/maj@1"));
  EXPECT_EQ(result.rows.size(), 5U);
  EXPECT_EQ(result.num_rejected, 0);
}

TEST_F(Evaluate, pass_at_k_and_majority_follow_from_the_samples) {
  const EvalResult result = evaluate_rows(
      {row("a", "some", ""), row("b", "some", ""), row("c", "some", "")}, job(8, {1, 2, 4}));
  for (const int64_t k : {1, 2, 4}) {
    double pass = 0.0, majority = 0.0;
    for (const EvalRow& one : result.rows) {
      ASSERT_EQ(one.samples.size(), 8U);
      int64_t correct = 0;
      for (const GroupMember& sample : one.samples)
        correct += sample.verdict.status == VerdictStatus::kCorrect;
      pass += pass_at_k(8, correct, k) / 3.0;
      majority += majority_is_correct(one.samples, k) ? 1.0 / 3.0 : 0.0;
    }
    EXPECT_NEAR(result.metrics.get(core::str("val/val/pass@", k)), pass, 1e-12);
    EXPECT_NEAR(result.metrics.get(core::str("val/val/maj@", k), majority), majority, 1e-12);
  }
  EXPECT_GT(result.metrics.get("val/val/pass@4"), result.metrics.get("val/val/pass@1"));
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
      if (row < 2) {
        EXPECT_EQ(ids(few, row, sample), ids(all, row, sample)) << row;
      }
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
  EXPECT_EQ(result.num_rejected, 2);
  EXPECT_EQ(result.rows.size(), 2U);
  EXPECT_DOUBLE_EQ(result.metrics.get("val/val/pass@1"), 0.5);
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
  EXPECT_EQ(result.metrics.get("val/val/pass@1"), 0.0);
}

}  // namespace
}  // namespace sgrpo::eval
