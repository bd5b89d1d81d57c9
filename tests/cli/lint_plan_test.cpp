// lint and plan from argument words to exit code and stdout.
#include <map>

#include "cli/program.h"

namespace sgrpo::cli {
namespace {

TEST(LintCommand, bad_rows_are_rows_of_stdout_and_the_summary_is_the_last) {
  const testing::Scratch scratch;
  testing::write_tiny_checkpoint(scratch / "model");
  scratch.write("a.png", testing::make_png(28, 28));
  const std::string path = scratch.write(
      "rows.jsonl",
      "{\"id\": \"a\", \"prompt\": \"x\", \"images\": [\"a.png\"], \"ground_truth\": \"bag\"}\n"
      "{\"id\": \"b\", \"prompt\": \"x\", \"images\": [\"b.png\"], \"ground_truth\": \"bag\"}\n"
      "{\"id\": \"c\", \"prompt\": \"x\"}\n");
  const Outcome outcome =
      run({"lint", "--data", path, "--model", (scratch / "model").string(), "--json"});
  EXPECT_EQ(outcome.code, 2);
  ASSERT_EQ(outcome.lines().size(), 2u);
  const core::Json row = core::parse_json(outcome.lines()[0], "row");
  EXPECT_EQ(row["id"], "b");
  EXPECT_EQ(scratch.shorten(row["error"].get<std::string>())
                .find("rows.jsonl:2 (id 'b'): cannot read b.png: "),
            0u)
      << row["error"];
  const core::Json summary = core::parse_json(outcome.lines()[1], "row")["summary"];
  EXPECT_EQ(summary["rows"], 3);
  EXPECT_EQ(summary["bad_rows"], 1);
  EXPECT_EQ(summary["images"], 2);
  EXPECT_EQ(summary["missing_ground_truth"], 1);
  EXPECT_EQ(summary["problems"].dump(), R"({"image":1})");
  EXPECT_EQ(summary["left_out"].dump(), R"({"rows":1,"reasons":{"image":1}})");
  EXPECT_EQ(summary["stops_run"], false);  // a single bad row is tolerated
  EXPECT_EQ(summary["image_files"]["usable"], 1);
  EXPECT_GT(summary["image_files"]["cpu_ms"].get<double>(), 0.0);
  EXPECT_EQ(summary["prompt_tokens"]["count"], 2);
  EXPECT_EQ(summary["ground_truth_tokens"]["count"], 2);
  EXPECT_NE(outcome.err.find("error: 1 of 3 rows are bad"), std::string::npos) << outcome.err;
}

TEST(LintCommand, limits_of_the_training_stream_concern_its_rows_alone) {
  const testing::Scratch scratch;
  testing::write_tiny_checkpoint(scratch / "model");
  const std::string path = scratch.write(
      "rows.jsonl",
      "{\"prompt\": \"" + std::string(300, 'x') + "\", \"ground_truth\": \"bag\"}\n" +
          "{\"prompt\": \"x\", \"ground_truth\": \"" + std::string(300, 'x') + "\"}\n");
  const auto lint = [&](const std::string& key) {
    return run({"lint",
                "--model",
                (scratch / "model").string(),
                key + path,
                "data.max_prompt_tokens=100",
                "rollout.max_new_tokens=8"});
  };
  const Outcome train = lint("data.train="), validation = lint("data.eval.val=");
  EXPECT_EQ(train.code, 2);
  EXPECT_EQ(train.lines().size(), 2u) << train.err;
  EXPECT_EQ(validation.code, 0) << validation.err;
}

TEST(LintCommand, good_file_ends_with_zero_and_no_rows) {
  const testing::Scratch scratch;
  const std::string path =
      scratch.write("rows.jsonl", "{\"prompt\": \"x\", \"ground_truth\": \"7\"}\n");
  const Outcome outcome = run({"lint", "--data", path, "--verifier", "numeric"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.lines(), std::vector<std::string>{""});
  EXPECT_NE(outcome.err.find("1 rows, 0 images; 0 bad rows"), std::string::npos) << outcome.err;
  EXPECT_EQ(run({"lint", "data.train=" + path}).code, 0);
  EXPECT_EQ(run({"lint"}).code, 2);
}

TEST(LintCommand, log_says_what_a_run_leaves_out_repeats_and_costs) {
  const testing::Scratch scratch;
  testing::write_tiny_checkpoint(scratch / "model");
  scratch.write("a.png", testing::make_png(28, 28));
  const std::string path =
      scratch.write("rows.jsonl",
                    "{\"prompt\": \"x\", \"images\": [\"a.png\"], \"ground_truth\": \"1\"}\n"
                    "{\"prompt\": \"x\", \"images\": [\"a.png\"], \"ground_truth\": \"2\"}\n"
                    "{\"prompt\": \"x y z x y z x y z x y z\", \"images\": [\"a.png\"]}\n"
                    "{\"promt\": 1}\n{}\n");
  const Outcome outcome = run({"lint",
                               "--data",
                               path,
                               "--model",
                               (scratch / "model").string(),
                               "--images",
                               "full",
                               "data.max_prompt_tokens=33"});
  EXPECT_EQ(outcome.code, 2);
  const auto has = [&](const std::string& text) {
    EXPECT_NE(scratch.shorten(outcome.err).find(text), std::string::npos) << text << "\n"
                                                                          << outcome.err;
  };
  has("a run leaves out 3 of 5 rows: 1 long_prompt, 2 row");
  has("a run stops: 2 of 5 training rows are bad (data.max_bad_fraction = 0.01)");
  has("1 rows repeat the prompt and images of an earlier one, 1 of them with another ground "
      "truth:");
  has("rows.jsonl:2 repeats line 1 with another ground truth");
  has("1 usable image files, read, decoded, resized and patched in ");
  has("  slowest: ");
}

TEST(LintCommand, supervised_rows_need_something_to_learn_from) {
  const testing::Scratch scratch;
  const std::string path =
      scratch.write("rows.jsonl", "{\"prompt\": \"x\", \"completion\": \"y\"}\n");
  EXPECT_EQ(run({"lint", "--data", path}).code, 0);
  EXPECT_EQ(run({"lint", "--data", path, "--task", "sft"}).code, 0);
  const Outcome warmup = run({"lint", "data.train=" + path, "trainer.sft_steps=5"});
  EXPECT_EQ(warmup.code, 2);
  EXPECT_NE(warmup.lines().at(0).find("no ground_truth or ground_truth_completion to learn from"),
            std::string::npos)
      << warmup.lines().at(0);
}

TEST(LintCommand, wrong_weight_of_data_train_is_named) {
  const testing::Scratch scratch;
  const std::string path = scratch.write("rows.jsonl", "{\"prompt\": \"x\"}\n");
  const Outcome outcome = run({"lint", "data.train=[{path: " + path + ", weight: -1}]"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.err.find("data.train[0].weight is -1, expected a number above 0"),
            std::string::npos)
      << outcome.err;
}

TEST(PlanCommand, components_sum_up_to_the_peak_and_a_misfit_is_a_warning) {
  const testing::Scratch scratch;
  testing::write_tiny_checkpoint(scratch / "model");
  const std::string model = "model.path=" + (scratch / "model").string();
  const Outcome small = run({"plan", model, "model.device=cpu", "--json"});
  EXPECT_EQ(small.code, 0) << small.err;
  const core::Json plan = core::parse_json(small.lines().at(0), "stdout");
  EXPECT_EQ(plan["batch"].get<std::string>().find("batch: 32 prompts x 8 completions"), 0u);
  std::map<std::string, uint64_t> phases;
  for (const core::Json& part : plan["components"])
    phases[part["phase"]] += part["bytes"].get<uint64_t>();
  EXPECT_EQ(plan["peak_bytes"].get<uint64_t>(),
            phases["always"] + std::max(phases["rollout"], phases["update"]));

  const Outcome huge = run({"plan",
                            model,
                            "model.device=cpu",
                            "rollout.group_size=65536",
                            "rollout.max_new_tokens=1000000"});
  EXPECT_EQ(huge.code, 0) << huge.err;
  EXPECT_NE(huge.err.find("the plan needs "), std::string::npos) << huge.err;
  EXPECT_NE(
      huge.err.find("are available: lower trainer.micro_batch_tokens, rollout.max_new_tokens or "
                    "data.max_pixels, or train an adapter (model.lora={rank: 16, "
                    "alpha: 32, targets: all-linear}), or freeze a module (model.freeze)\n"),
      std::string::npos)
      << huge.err;
  const auto adapted = [&](const std::string& dtype) {
    return run({"plan",
                model,
                "model.device=cpu",
                dtype,
                "model.lora={rank: 2, alpha: 4, targets: all-linear}",
                "rollout.group_size=65536",
                "rollout.max_new_tokens=1000000"})
        .err;
  };
  EXPECT_NE(adapted("model.dtype=float32").find("data.max_pixels, or take model.dtype=bfloat16\n"),
            std::string::npos);
  EXPECT_NE(adapted("model.dtype=bfloat16").find("or data.max_pixels\n"), std::string::npos);
  EXPECT_EQ(run({"plan"}).code, 2);
}

}  // namespace
}  // namespace sgrpo::cli
