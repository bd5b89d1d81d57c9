// Validation during training: what it counts, what it makes best, and that it costs no trained
// step.
#include "sgrpo/trainer/evaluation.h"
#include "trainer/run_files.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

class Validation : public Runs {
 protected:
  /// Every step is validated on a split of that name, none at start.
  Overrides every_step(const std::string& split, const std::string& steps) const {
    return {"trainer.steps=" + steps,
            "eval.every=1",
            "eval.at_start=false",
            "eval.max_new_tokens=4",
            core::str("data.eval={", split, ": ", (scratch_ / "val.jsonl").string(), "}")};
  }
  static int64_t best_of(const std::filesystem::path& run) {
    const auto target = std::filesystem::read_symlink(run / "checkpoints" / "best").string();
    return std::stoll(target.substr(target.find('-') + 1));
  }
  /// The first step from 1 on with the highest value.
  static int64_t highest(const std::filesystem::path& run, const std::string& metric) {
    int64_t best = 0;
    double value = -1.0;
    for (const Json& row : metrics_of(run)) {
      if (row.at("step") == 0 || row.at(metric).get<double>() <= value) continue;
      value = row.at(metric).get<double>();
      best = row.at("step").get<int64_t>();
    }
    return best;
  }
};

TEST_F(Validation, best_is_the_highest_accuracy_whatever_the_split_is_called) {
  for (const char* split : {"val", "floss"}) {
    const std::string metric = core::str("val/", split, "/pass@1");
    const Overrides sft = {"optim.lr=0.3",
                           "verifier.name=regex",
                           "verifier.params={pattern: '[a-h]'}",
                           "trainer.keep_last=1",
                           "trainer.keep_best=" + metric};
    const auto folder = run(split, both(every_step(split, "4"), sft), Task::kSft);
    EXPECT_EQ(best_of(folder), highest(folder, metric)) << split;
    EXPECT_TRUE(std::filesystem::exists(folder / "checkpoints" / "best" / "model"));
    EXPECT_TRUE(std::filesystem::exists(folder_of(folder, 4)));
  }
}

TEST_F(Validation, start_does_not_compete_and_it_is_said_when_it_was_better) {
  State state;
  state.config.trainer.keep_best = "val/val/pass@1";
  const testing::LogCapture log;
  const auto note = [&](int64_t step, double value) {
    StepReport report;
    report.set("val/val/pass@1", value);
    state.progress.finished_steps = step;
    note_validation(state, report);
    return step > 0 && state.progress.best_step == step;
  };
  EXPECT_FALSE(note(0, 0.5));
  EXPECT_FALSE(state.progress.best.has_value());
  EXPECT_TRUE(note(1, 0.25));
  EXPECT_TRUE(
      core::contains(log.text(),
                     "val/val/pass@1 is 0.25 at step 1, the best so far, but was 0.5 before "
                     "training, which does not compete for checkpoints/best"))
      << log.text();
  EXPECT_FALSE(note(2, 0.25)) << "the first of equals stays";
  EXPECT_TRUE(note(3, 0.75));
  state.progress.finished_steps = 4;
  note_validation(state, {});
  EXPECT_EQ(state.progress.best_step, 3);
  EXPECT_TRUE(core::contains(log.text(), "no row of val/val/pass@1 was judged at step 4"));
}

TEST_F(Validation, unknown_best_metric_is_refused_before_the_first_step) {
  const Overrides options = every_step("val", "2");
  const std::string message = error_of(both(options, {"trainer.keep_best=val/val/pas@1"}));
  EXPECT_EQ(message,
            "trainer.keep_best is 'val/val/pas@1', which validation does not give (did you mean "
            "'val/val/pass@1'?); it gives val/val/pass@1, val/val/even/pass@1, val/val/odd/pass@1, "
            "val/val/macro");
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "refused" / "completions"));
  for (const char* metric : {"val/val/pass@8", "reward", "val/val/n"}) {
    const std::string other = error_of(both(options, {core::str("trainer.keep_best=", metric)}));
    EXPECT_EQ(other.find(core::str("trainer.keep_best is '", metric, "', which validation")), 0U)
        << other;
  }
}

TEST_F(Validation, what_no_verifier_judged_is_absent_and_never_best) {
  const Overrides broken = {"verifier.name=command",
                            "verifier.params={argv: ['false']}",
                            "verifier.truncated=judge",
                            "trainer.prompts_per_step=1",
                            "rollout.group_size=2",
                            "trainer.keep_best=val/val/pass@1"};
  const auto folder = run("broken", both(every_step("val", "1"), broken));
  const Json row = metrics_of(folder).at(0);
  for (const char* name : {"reward", "reward_std", "group/frac_all_fail", "val/val/pass@1"})
    EXPECT_FALSE(row.contains(name)) << name;
  EXPECT_EQ(row.at("group/frac_unjudged"), 1);
  EXPECT_EQ(row.at("verifier/error_frac"), 1);
  EXPECT_EQ(row.at("val/val/n"), 0);
  EXPECT_EQ(row.at("val/val/error"), 3);
  EXPECT_FALSE(std::filesystem::is_symlink(folder / "checkpoints" / "best"));
  EXPECT_TRUE(std::filesystem::exists(folder_of(folder, 1)));
}

TEST_F(Validation, masked_truncated_completions_are_no_verdicts) {
  const auto folder = run(
      "masked", {"verifier.truncated=mask", "rollout.max_new_tokens=1", "injection.when=never"});
  const Json row = metrics_of(folder).at(0);
  EXPECT_EQ(row.at("verifier/error_frac"), 0);
  EXPECT_EQ(row.at("verifier/timeout_frac"), 0);
  for (const Json& completion : completions_of(folder, 1))
    EXPECT_TRUE(completion.at("status") == "truncated" || completion.at("status") == "unparsed" ||
                completion.at("status") == "incorrect")
        << completion.at("status");
}

/// Six members of two groups, judged by a program that fails `failures` times before it works.
class JudgeAgain : public Validation {
 protected:
  std::vector<RolloutGroup> judged(int64_t failures, bool has_ground_truth = true) {
    const std::string starts = (scratch_ / "starts").string();
    const std::string script = core::str("echo x >> ",
                                         starts,
                                         "; [ $(wc -l < ",
                                         starts,
                                         ") -gt ",
                                         failures,
                                         " ] || exit 1; while read -r x; do echo "
                                         "'{\"reward\": 1}'; done");
    verifier::VerifierOptions options;
    options.name = "command";
    options.params = {{"argv", {"sh", "-c", script}}, {"max_restarts", 0}};
    options.sandbox = verifier::Sandbox::kOff;  // it counts its starts in a file
    state_.verifiers = std::make_unique<verifier::VerifierSet>(options, Json(), Json());
    PromptRecord record;
    if (has_ground_truth) record.ground_truth = "boot";
    EncodedPrompt prompt;
    prompt.record = std::make_shared<const PromptRecord>(record);
    const auto shared = std::make_shared<const EncodedPrompt>(prompt);
    std::vector<RolloutGroup> groups(2);
    for (RolloutGroup& group : groups) {
      group.prompt = shared;
      group.members.resize(3);
    }
    return eval::judge_groups(std::move(groups), *state_.verifiers);
  }
  State state_;
  std::vector<std::chrono::milliseconds> pauses_ = std::vector(3, std::chrono::milliseconds(1));
};

TEST_F(JudgeAgain, failed_members_get_the_verdict_of_a_later_try) {
  const testing::LogCapture log;
  const auto groups = judge_again(state_, judged(2), pauses_);
  for (const RolloutGroup& group : groups) {
    for (const GroupMember& member : group.members) EXPECT_EQ(member.verdict.reward, 1.0);
  }
  EXPECT_TRUE(core::contains(log.text(),
                             "6 of 6 completions of step 1 have no verdict (timeout or error, "
                             "reasons above): they are judged again in 0.001 s"))
      << log.text();
}

TEST_F(JudgeAgain, verifier_that_stays_broken_ends_the_run) {
  const testing::LogCapture quiet;
  auto groups = judged(100);
  EXPECT_EQ(
      testing::message_of<core::RunError>([&] { judge_again(state_, std::move(groups), pauses_); }),
      "6 of 6 completions of step 1 have no verdict after 4 tries (timeout or error, reasons "
      "above): mend the verifier; the same command continues after step 0");
}

TEST_F(JudgeAgain, rows_without_ground_truth_and_few_failures_are_masked_only) {
  const testing::LogCapture quiet;
  EXPECT_EQ(judge_again(state_, judged(100, false), pauses_).size(), 2U);
  auto groups = judged(100);
  for (GroupMember& member : groups[0].members) member.verdict.status = VerdictStatus::kCorrect;
  EXPECT_EQ(judge_again(state_, std::move(groups), pauses_)[1].members[0].verdict.status,
            VerdictStatus::kError);
}

TEST_F(Validation, step_is_on_disk_when_the_validation_after_it_fails) {
  const testing::LogCapture quiet;
  Overrides options = every_step("val", "4");
  options.insert(options.end(), {"eval.every=2", "trainer.save_every=2"});
  {
    Trainer trainer(config("fails", options), Task::kPolicyGradient);
    for (const Json& row : rows(3, 200)) scratch_.write(row.at("images").at(0), "no picture");
    EXPECT_THROW(trainer.run(), core::UserError);
  }
  EXPECT_TRUE(std::filesystem::exists(weights_of(scratch_ / "fails", 2)));
  rows(3, 200);  // the pictures again
  const auto whole = run("whole", options), resumed = run("fails", options);
  expect_same_metrics(whole, resumed);
  expect_same_bytes(weights_of(whole, 4), weights_of(resumed, 4));
}

TEST_F(Validation, best_is_known_again_after_a_resume) {
  Overrides options = both(every_step("val", "4"), coin());
  options.insert(options.end(), {"trainer.keep_best=val/val/pass@1", "trainer.save_every=1"});
  const auto whole = run("whole", options);
  for (const char* steps : {"1", "2", "3", "4"})
    run("parts", both(options, {core::str("trainer.steps=", steps)}));
  EXPECT_EQ(best_of(scratch_ / "parts"), best_of(whole));
  EXPECT_EQ(best_of(whole), highest(whole, "val/val/pass@1"));
}

TEST_F(Validation, rows_beyond_the_training_streams_limits_stay) {
  auto data = rows(3, 200);
  data[0]["ground_truth"] = "a very long answer that no completion of eight tokens can hold";
  data[1]["prompt"] = "<image>" + std::string(300, 'x');
  scratch_.write("val.jsonl", testing::to_jsonl(data));
  const Overrides limits = {"rollout.max_new_tokens=8", "data.max_prompt_tokens=100"};
  const auto folder = run("limits", both(every_step("val", "1"), limits));
  EXPECT_EQ(metrics_of(folder).at(0).at("val/val/n"), 3);
}

TEST_F(Validation, ground_truth_is_limited_only_where_it_is_injected_or_learned) {
  const RunConfig injected = config("a", {"rollout.max_new_tokens=8"});
  EXPECT_EQ(ground_truth_limit(injected, Task::kPolicyGradient), 8);
  EXPECT_EQ(ground_truth_limit(injected, Task::kSft), 0);
  const RunConfig plain = config("b", {"rollout.max_new_tokens=8", "injection.when=never"});
  EXPECT_EQ(ground_truth_limit(plain, Task::kPolicyGradient), 0);
  const RunConfig warm =
      config("c", {"rollout.max_new_tokens=8", "injection.when=never", "trainer.sft_steps=1"});
  EXPECT_EQ(ground_truth_limit(warm, Task::kPolicyGradient), 8);
  auto data = rows(4, 100);
  data[1]["ground_truth"] = "a very long answer that no completion of eight tokens can hold";
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  EXPECT_EQ(metrics_of(run("plain", {"injection.when=never"}))[0].at("data/rejected_rows"), 0);
}

TEST_F(Validation, gives_the_numbers_of_an_evaluation_of_its_checkpoint) {
  Overrides options = both(every_step("val", "2"), coin());
  options.insert(options.end(), {"eval.samples=4", "eval.k=[1, 2]", "eval.temperature=1"});
  const auto folder = run("one", options);
  const RunConfig after = config("one", options);
  const testing::LogCapture quiet;
  const auto policy = policy::open(folder_of(folder, 2), after.model, eval_limits(after));
  const verifier::VerifierSet verifiers(after.verifier, after.verifiers, after.rewards);
  const auto split = data::load_eval_set("val", (scratch_ / "val.jsonl").string(), after.data);
  const auto result = eval::evaluate(*policy, verifiers, split, eval_job(after));
  const Json row = metrics_of(folder).at(1);
  const StepReport report = eval::metrics_of("val", result.sums);
  for (const auto& [name, value] : report.values())
    EXPECT_EQ(row.at(name).get<double>(), value) << name;
}

}  // namespace
}  // namespace sgrpo::trainer
