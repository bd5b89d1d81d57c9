// retention: in whole runs.
#include "trainer/retention.h"

#include "run_files.h"
#include "sgrpo/policy/policy.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

class RetentionRuns : public Runs {
 protected:
  RetentionRuns() { write_rows("general.jsonl", 6, 300); }

  Overrides retention(const std::string& more = "") const {
    return {core::str("retention={data: ", (scratch_ / "general.jsonl").string(), more, "}")};
  }
  std::vector<Json> answers_of(const std::filesystem::path& run) const {
    return testing::read_jsonl(run / "retention.jsonl");
  }
  static double at(const Json& row, const std::string& name) { return row.at(name).get<double>(); }
};

TEST_F(RetentionRuns, rows_follow_from_the_weight) {
  const auto rows = [&](const std::string& weight, int64_t prompts) {
    return retention_rows(config(
        "r",
        both(retention(", weight: " + weight), {core::str("trainer.prompts_per_step=", prompts)})));
  };
  EXPECT_EQ(rows("0.2", 16), 4);
  EXPECT_EQ(rows("0.2", 32), 8);
  EXPECT_EQ(rows("0.05", 32), 2);  // 1.68
  EXPECT_EQ(rows("0.01", 4), 1) << "at least one";
  EXPECT_EQ(rows("0.5", 4), 4);
  EXPECT_EQ(retention_rows(config("r", {})), 0);
}

TEST_F(RetentionRuns, the_start_model_answers_each_row_once_and_the_answer_is_injected) {
  const auto folder = run("self", both(retention(), {"trainer.steps=3"}));
  const auto answers = answers_of(folder);
  ASSERT_EQ(answers.size(), 6U);
  const auto policy = policy::open(model(), {}, {});
  const auto records = data::load_eval_set("general", (scratch_ / "general.jsonl").string(), {});
  for (const Json& answer : answers) {
    const auto& record = records.records.at(answer.at("line").get<size_t>() - 1);
    EXPECT_EQ(answer.at("id"), record->id);
    SamplingRequest request;
    request.prompt = std::make_shared<const EncodedPrompt>(policy->encoder()->encode(record));
    request.options = {
        .max_new_tokens = 8, .greedy = true, .end_token_ids = policy->end_token_ids()};
    policy->sample({request}, [&](size_t, RolloutGroup&& group) {
      EXPECT_EQ(answer.at("completion_ids"), Json(group.members[0].completion.token_ids));
      EXPECT_EQ(answer.at("completion"), group.members[0].completion.text);
    });
  }
}

TEST_F(RetentionRuns, the_arms_own_metrics_leave_retention_out) {
  const auto plain = run("plain", {}), with = run("with", retention(", weight: 0.4"));
  const Json before = metrics_of(plain).at(0), after = metrics_of(with).at(0);
  for (const char* name : {"reward",
                           "reward_std",
                           "reward_with_injected",
                           "frac_reward_zero_std",
                           "group/frac_all_fail",
                           "cgi/injected_frac",
                           "cgi/injected_advantage",
                           "entropy",
                           "completions/mean_length"})
    EXPECT_EQ(before.at(name), after.at(name)) << name;
  EXPECT_EQ(completions_of(plain, 1), completions_of(with, 1));
  EXPECT_EQ(after.at("retention/rows"), 3);  // 2.67
  EXPECT_GE(at(after, "retention/reward"), 0.0);
  EXPECT_EQ(at(after, "num_tokens") - at(before, "num_tokens"), at(after, "retention/tokens"));
  EXPECT_FALSE(after.contains("retention/loss"));
  EXPECT_FALSE(before.contains("retention/rows"));
  EXPECT_GT(max_difference(read_tensors(weights_of(plain, 1)), read_tensors(weights_of(with, 1))),
            0.0);
}

/// Rows whose completions are given, all of them in every step.
class RetainedRows : public RetentionRuns {
 protected:
  RetainedRows() {
    write("arm.jsonl", 4, 100);
    write("general.jsonl", 1, 300);
    scratch_.write(
        "both.jsonl",
        core::read_file(scratch_ / "arm.jsonl") + core::read_file(scratch_ / "general.jsonl"));
  }
  void write(const std::string& name, int64_t count, uint32_t first_picture) const {
    auto data = rows(count, first_picture);
    for (Json& row : data) row["completion"] = core::str("the ", row["ground_truth"]);
    scratch_.write(name, testing::to_jsonl(data));
  }
  /// One step of `sft` on a file.
  std::filesystem::path sft(const std::string& name,
                            const std::string& data,
                            int64_t prompts,
                            const Overrides& more = {}) const {
    return run(name,
               both({"data.train=" + (scratch_ / data).string(),
                     "data.shuffle=false",
                     core::str("trainer.prompts_per_step=", prompts)},
                    more),
               Task::kSft);
  }
};

TEST_F(RetainedRows, rows_of_the_arm_are_rows_of_the_batch) {
  const auto mixed = sft("mixed", "both.jsonl", 5);
  const auto retained = sft("retained", "arm.jsonl", 4, retention(", kind: rows"));
  EXPECT_NEAR(at(metrics_of(mixed)[0], "loss"), at(metrics_of(retained)[0], "loss"), 1e-6);
  EXPECT_LT(
      max_difference(read_tensors(weights_of(mixed, 1)), read_tensors(weights_of(retained, 1))),
      1e-7);
}

TEST_F(RetainedRows, an_nll_part_has_its_own_count_and_its_weight) {
  const double arm = at(metrics_of(sft("arm", "arm.jsonl", 4))[0], "loss");
  const double kept = at(metrics_of(sft("general", "general.jsonl", 1))[0], "loss");
  const auto folder = sft("nll", "arm.jsonl", 4, retention(", kind: rows, loss: nll, weight: 0.2"));
  const Json row = metrics_of(folder)[0];
  EXPECT_NEAR(at(row, "loss"), 0.8 * arm + 0.2 * kept, 1e-6);
  EXPECT_NEAR(at(row, "retention/loss"), kept, 1e-6);
  EXPECT_FALSE(row.contains("retention/reward"));
}

TEST_F(RetentionRuns, a_kl_part_holds_the_policy_to_the_start_model) {
  const auto plain = run("plain", {"trainer.steps=2", "trainer.save_every=1"});
  const auto held =
      run("held",
          both(retention(", kind: kl, weight: 0.5"), {"trainer.steps=2", "trainer.save_every=1"}));
  const auto rows = metrics_of(held);
  EXPECT_EQ(rows[0].at("retention/loss"), 0.0) << "the policy is still the reference";
  EXPECT_GT(at(rows[1], "retention/loss"), 0.0);
  EXPECT_EQ(rows[0].at("retention/rows"), 4);
  EXPECT_FALSE(rows[0].contains("retention/reward"));
  EXPECT_FALSE(rows[1].contains("kl")) << "the arm itself has no KL term";
  EXPECT_EQ(max_difference(read_tensors(weights_of(plain, 1)), read_tensors(weights_of(held, 1))),
            0.0);
  EXPECT_GT(max_difference(read_tensors(weights_of(plain, 2)), read_tensors(weights_of(held, 2))),
            0.0);
}

TEST_F(RetentionRuns, a_run_that_goes_on_keeps_its_answers_and_adds_those_of_later_rows) {
  const Overrides options = both(retention(", weight: 0.8"), {"trainer.save_every=1"});
  write_rows("general.jsonl", 100, 300);
  const auto whole = run("whole", both(options, {"trainer.steps=6"}));
  run("halves", both(options, {"trainer.steps=2"}));
  const std::string before = core::read_file(scratch_ / "halves" / "retention.jsonl");
  const auto halves = run("halves", both(options, {"trainer.steps=6"}));
  const std::string after = core::read_file(halves / "retention.jsonl");
  EXPECT_EQ(after.substr(0, before.size()), before);
  EXPECT_GT(after.size(), before.size());
  std::set<std::string> lines, expected;
  for (const Json& answer : answers_of(halves)) lines.insert(answer.dump());
  for (const Json& answer : answers_of(whole)) expected.insert(answer.dump());
  EXPECT_EQ(lines, expected) << "the start model answered, not the trained one";
  expect_same_metrics(whole, halves);
  expect_same_bytes(weights_of(whole, 6), weights_of(halves, 6));
}

TEST_F(RetentionRuns, answers_that_were_changed_are_refused) {
  const Overrides options = retention();
  const auto folder = run("run", both(options, {"trainer.steps=1"}));
  std::string text = core::read_file(folder / "retention.jsonl");
  text.replace(text.find("\"completion\":\""), 14, "\"completion\":\"x");
  core::write_file_atomic(folder / "retention.jsonl", text);
  const std::string message =
      testing::message_of<core::UserError>([&] { run("run", both(options, {"trainer.steps=2"})); });
  EXPECT_EQ(scratch_.shorten(message),
            "run/retention.jsonl is not what the checkpoint was trained with (6 answers of the "
            "start model): put the file back, or choose another output_dir");
  std::filesystem::remove(folder / "retention.jsonl");
  EXPECT_EQ(
      testing::message_of<core::UserError>([&] { run("run", both(options, {"trainer.steps=2"})); }),
      message);
}

TEST_F(RetentionRuns, a_row_without_an_answer_is_named_where_answers_are_given) {
  auto data = rows(1, 300);
  data[0].erase("ground_truth");
  scratch_.write("general.jsonl", testing::to_jsonl(data));
  const testing::LogCapture log;
  EXPECT_THROW(Trainer(config("rows", retention(", kind: rows")), Task::kPolicyGradient).run(),
               core::UserError);
  EXPECT_NE(scratch_.shorten(log.text())
                .find("bad row: general.jsonl:1 (id 'row-300'): no completion, "
                      "ground_truth_completion or ground_truth to retain, which retention.kind: "
                      "rows needs"),
            std::string::npos)
      << log.text();
  EXPECT_NO_THROW(Trainer(config("self", retention()), Task::kPolicyGradient).run());
}

TEST(Spread, each_minibatch_gets_its_share) {
  EXPECT_EQ(spread(4, 2), (std::vector<bool>{false, false, true, false, false, true}));
  EXPECT_EQ(spread(3, 0), (std::vector<bool>{false, false, false}));
  EXPECT_EQ(spread(0, 2), (std::vector<bool>{true, true}));
  EXPECT_EQ(spread(1, 3), (std::vector<bool>{false, true, true, true}));
}

}  // namespace
}  // namespace sgrpo::trainer
