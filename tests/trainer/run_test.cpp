// What a run writes: completions, metrics, and the story they tell.
#include <set>

#include "sgrpo/trainer/report.h"
#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

using WholeRun = Runs;

/// The documented metric names of a policy-gradient run with KL and a validation split.
const std::vector<std::string> kNames = {"step",
                                         "epoch",
                                         "loss",
                                         "reward",
                                         "reward_std",
                                         "reward_with_injected",
                                         "rewards/exact/mean",
                                         "frac_reward_zero_std",
                                         "group/frac_all_fail",
                                         "group/frac_all_pass",
                                         "group/frac_mixed",
                                         "cgi/injected_frac",
                                         "cgi/missing_gt_frac",
                                         "cgi/injected_advantage",
                                         "cgi/injected_logp",
                                         "cgi/injected_ratio_clipped_frac",
                                         "cgi/injected_entropy",
                                         "cgi/frac_dead_after",
                                         "completions/mean_length",
                                         "completions/min_length",
                                         "completions/max_length",
                                         "completions/clipped_ratio",
                                         "completions/mean_terminated_length",
                                         "kl",
                                         "entropy",
                                         "clip_ratio/low_mean",
                                         "clip_ratio/high_mean",
                                         "clip_ratio/region_mean",
                                         "grad_norm",
                                         "learning_rate",
                                         "num_tokens",
                                         "step_time",
                                         "sampling/sampling_logp_difference/mean",
                                         "sampling/sampling_logp_difference/max",
                                         "timing_s/load",
                                         "timing_s/vision",
                                         "timing_s/generate",
                                         "timing_s/verify",
                                         "timing_s/logprob",
                                         "timing_s/update",
                                         "timing_s/sync",
                                         "timing_s/validate",
                                         "timing_s/save",
                                         "perf/tokens_per_s",
                                         "mem/host_rss_gb",
                                         "mem/gpu_alloc_gb",
                                         "mem/gpu_peak_gb",
                                         "val/val/pass@1",
                                         "val/val/even/pass@1",
                                         "val/val/odd/pass@1",
                                         "val/val/macro",
                                         "optim/skipped_steps",
                                         "optim/no_signal_steps",
                                         "data/rejected_rows",
                                         "verifier/timeout_frac",
                                         "verifier/error_frac",
                                         "verifier/unparsed_frac"};

TEST_F(WholeRun, metrics_have_every_documented_name_and_add_up) {
  const auto folder = run("run",
                          {"trainer.steps=4",
                           "algorithm.kl_coef=0.01",
                           "eval.every=1",
                           "data.eval={val: " + (scratch_ / "val.jsonl").string() + "}"});
  const auto rows = metrics_of(folder);
  ASSERT_EQ(rows.size(), 5U);
  EXPECT_EQ(rows[0].at("step"), 0);
  EXPECT_TRUE(rows[0].contains("val/val/pass@1"));
  for (size_t i = 1; i < rows.size(); ++i) {
    const Json& row = rows[i];
    for (const std::string& name : kNames) EXPECT_TRUE(row.contains(name)) << name;
    EXPECT_EQ(row.at("step"), i);
    const auto value = [&](const std::string& name) { return row.at(name).get<double>(); };
    EXPECT_DOUBLE_EQ(
        value("group/frac_all_fail") + value("group/frac_all_pass") + value("group/frac_mixed"),
        1.0);
    double phases = 0.0;
    for (const auto& [name, seconds] : row.items())
      if (core::starts_with(name, "timing_s/")) phases += seconds.get<double>();
    // 5 % of a step; a tiny step may lose a millisecond between two phases.
    EXPECT_NEAR(phases, value("step_time"), 0.05 * value("step_time") + 1e-3);
    EXPECT_GT(value("mem/host_rss_gb"), 0.01);
    EXPECT_NEAR(value("val/val/macro"),
                0.5 * (value("val/val/even/pass@1") + value("val/val/odd/pass@1")),
                1e-12);
    EXPECT_LT(value("sampling/sampling_logp_difference/max"), 1e-4);
    EXPECT_NEAR(value("epoch"), static_cast<double>(i) / 3.0, 1e-12);
  }
  EXPECT_GT(rows[2].at("num_tokens"), rows[1].at("num_tokens"));
  EXPECT_TRUE(std::filesystem::exists(folder / "report.html"));
  EXPECT_TRUE(std::filesystem::exists(folder / "config.yaml"));
  EXPECT_TRUE(std::filesystem::exists(folder_of(folder, 4)));
}

TEST_F(WholeRun, one_seed_writes_the_same_run_twice_and_another_seed_another) {
  const Overrides options = both(coin(), {"trainer.steps=3"});
  const auto a = run("a", options), b = run("b", options);
  expect_same_metrics(a, b);
  expect_same_bytes(weights_of(a, 3), weights_of(b, 3));
  for (const int64_t step : {1, 2, 3}) EXPECT_EQ(completions_of(a, step), completions_of(b, step));
  const auto c = run("c", both(options, {"seed=1"}));
  EXPECT_NE(completions_of(a, 1), completions_of(c, 1));
}

TEST_F(WholeRun, effective_configuration_repeats_the_run) {
  const auto a = run("a", both(coin(), {"trainer.steps=2"}));
  const testing::LogCapture quiet;
  Trainer(load_run_config(a / "config.yaml", {"output_dir=" + (scratch_ / "b").string()}),
          Task::kPolicyGradient)
      .run();
  expect_same_metrics(a, scratch_ / "b");
}

TEST_F(WholeRun, all_fail_groups_get_the_ground_truth_in_place_of_a_victim) {
  const auto folder = run("cgi", {});
  const auto rows = completions_of(folder, 1);
  ASSERT_EQ(rows.size(), 4U * 5U) << "4 members and the replaced victim of each of 4 prompts";
  std::map<std::string, std::vector<Json>> groups;
  for (const Json& row : rows) groups[row.at("prompt_id").get<std::string>()].push_back(row);
  ASSERT_EQ(groups.size(), 4U);
  for (const auto& [prompt, members] : groups) {
    int64_t injected = 0, replaced = 0;
    std::set<int64_t> indices;
    for (const Json& row : members) {
      EXPECT_EQ(row.at("step"), 1);
      if (row.at("origin") == "ground_truth") {
        ++injected;
        EXPECT_EQ(row.at("index"), -1);
        EXPECT_EQ(row.at("reward"), 1.0);
        EXPECT_EQ(row.at("status"), "correct");
        EXPECT_FALSE(row.at("replaced").get<bool>());
        EXPECT_EQ(row.at("completion_ids").back(), 2);
        // G = 4, one success: (1 - 1/4) / (1/2 + 1e-4), sample deviation
        EXPECT_NEAR(row.at("advantage").get<double>(), 0.75 / 0.5001, 1e-12);
        continue;
      }
      EXPECT_EQ(row.at("origin"), "sampled");
      EXPECT_EQ(row.at("reward"), 0.0);
      indices.insert(row.at("index").get<int64_t>());
      const bool is_victim = row.at("replaced").get<bool>();
      replaced += is_victim ? 1 : 0;
      EXPECT_NEAR(row.at("advantage").get<double>(), is_victim ? 0.0 : -0.25 / 0.5001, 1e-12);
    }
    EXPECT_EQ(injected, 1);
    EXPECT_EQ(replaced, 1);
    EXPECT_EQ(indices, (std::set<int64_t>{0, 1, 2, 3}));
  }
  const Json row = metrics_of(folder)[0];
  const std::vector<std::pair<std::string, double>> expected = {{"reward", 0.0},
                                                                {"reward_std", 0.0},
                                                                {"reward_with_injected", 0.25},
                                                                {"cgi/injected_frac", 1},
                                                                {"group/frac_all_fail", 1},
                                                                {"frac_reward_zero_std", 1},
                                                                {"cgi/frac_dead_after", 0},
                                                                {"cgi/missing_gt_frac", 0}};
  for (const auto& [name, value] : expected) EXPECT_EQ(row.at(name).get<double>(), value) << name;
}

TEST_F(WholeRun, injection_turns_a_task_that_always_fails_into_one_that_is_solved) {
  write_rows("train.jsonl", 1, 300);
  const Overrides options = {"trainer.steps=40",
                             "trainer.prompts_per_step=1",
                             "optim.lr=0.02",
                             "optim.eps=1e-8",
                             "rollout.group_size=8"};
  const auto rows = metrics_of(run("cgi", options));
  const auto value = [](const Json& row, const char* name) { return row.at(name).get<double>(); };
  EXPECT_EQ(value(rows.front(), "reward"), 0.0);
  EXPECT_EQ(value(rows.front(), "cgi/injected_frac"), 1.0);
  double reward = 0.0, injected = 0.0;  // of the last ten steps: a single one is a matter of luck
  for (size_t i = rows.size() - 10; i < rows.size(); ++i) {
    reward += value(rows[i], "reward") / 10;
    injected += value(rows[i], "cgi/injected_frac") / 10;
  }
  EXPECT_GT(reward, 0.75) << "the answer is learned";
  EXPECT_EQ(injected, 0.0) << "and injection stops by itself";
  const auto flat = metrics_of(run("grpo", both(options, {"injection.when=never"})));
  EXPECT_EQ(value(flat.back(), "reward"), 0.0) << "GRPO alone never sees a reward here";
  EXPECT_EQ(value(flat.back(), "optim/no_signal_steps"), 40.0);
}

TEST_F(WholeRun, rows_without_ground_truth_are_counted_not_fatal) {
  auto data = rows(4, 100);
  for (const size_t i : {1, 3}) data[i].erase("ground_truth");
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const Json row = metrics_of(run("missing", {}))[0];
  EXPECT_EQ(row.at("cgi/missing_gt_frac"), 0.5);
  EXPECT_EQ(row.at("cgi/injected_frac"), 0.5);
  EXPECT_EQ(row.at("cgi/frac_dead_after"), 0.5);
}

TEST_F(WholeRun, replaying_a_runs_own_completions_repeats_its_steps) {
  for (const Overrides& kind : {Overrides{}, coin()}) {
    const std::string name = kind.empty() ? "cgi" : "coin";
    const auto a = run(name, both(kind, {"trainer.steps=2"}));
    const auto b =
        run(name + "-again",
            both(kind, {"trainer.steps=2", "rollout.replay=" + (a / "completions").string()}));
    for (const int64_t step : {1, 2}) EXPECT_EQ(completions_of(a, step), completions_of(b, step));
    // A recording keeps the reward, not what single verifiers gave, nor the sampler's log-probs.
    expect_same_metrics(a, b, {"sampling/", "rewards/"});
    expect_same_bytes(weights_of(a, 2), weights_of(b, 2));
  }
}

TEST_F(WholeRun, replaying_a_prompt_drawn_twice_in_a_step_keeps_its_groups_apart) {
  write_rows("train.jsonl", 3, 100);
  const Overrides options = both(coin(), {"trainer.prompts_per_step=6"});
  const auto a = run("a", options);
  const auto b = run("b", both(options, {"rollout.replay=" + (a / "completions").string()}));
  EXPECT_EQ(completions_of(a, 1), completions_of(b, 1));
  expect_same_bytes(weights_of(a, 1), weights_of(b, 1));
}

TEST_F(WholeRun, recordings_made_by_hand_are_trained_on_with_their_rewards) {
  auto data = rows(2, 100);
  data[0]["completions"] = {"bag", "shoe", {30, 31, 2}, "a long answer that is wrong"};
  data[0]["rewards"] = {1.0, -0.5, 0.25, -1.0};
  data[1]["completions"] = {"bag", "shoe", "shoe", "boot"};  // the verifier judges
  const auto replay = scratch_.write("replay.jsonl", testing::to_jsonl(data));
  scratch_.write("train.jsonl", testing::to_jsonl(rows(2, 100)));
  const Overrides options = {
      "trainer.prompts_per_step=2", "rollout.replay=" + replay, "data.shuffle=false"};
  const auto folder = run("hand", options);
  const auto rows_written = completions_of(folder, 1);
  ASSERT_EQ(rows_written.size(), 8U);
  EXPECT_EQ(rows_written[2].at("completion_ids"), Json({30, 31, 2}));
  EXPECT_EQ(rows_written[0].at("completion_ids").back(), 2) << "texts get the turn's end";
  EXPECT_EQ(rows_written[0].at("status"), "correct");
  EXPECT_EQ(rows_written[1].at("status"), "incorrect");
  EXPECT_EQ(rows_written[3].at("reward"), -1.0);
  EXPECT_EQ(rows_written[5].at("status"), "correct") << "row 1's ground truth is 'shoe'";
  const Json row = metrics_of(folder)[0];
  EXPECT_NEAR(row.at("reward").get<double>(), (1.0 - 0.5 + 0.25 - 1.0 + 2.0) / 8.0, 1e-12);
  EXPECT_EQ(row.at("group/frac_mixed"), 1);
}

TEST_F(WholeRun, recordings_that_do_not_fit_are_refused) {
  scratch_.write("train.jsonl", testing::to_jsonl(rows(2, 100)));
  const auto error = [&](const Json& completions) {
    auto data = rows(2, 100);
    for (Json& row : data) row["completions"] = completions;
    const auto file = scratch_.write("replay.jsonl", testing::to_jsonl(data));
    return error_of({"trainer.prompts_per_step=2", "rollout.replay=" + file});
  };
  EXPECT_EQ(error({"a", "b"}), "replay.jsonl:1: 2 completions, but rollout.group_size is 4");
  EXPECT_EQ(error({"a", "b", "c", {30, 408}}),
            "replay.jsonl:1 (id 'row-100'): completion 3 holds token id 408, expected 0..407");
  EXPECT_EQ(error({"a", {30, 5}, "c", "d"}),
            "replay.jsonl:1 (id 'row-100'): completion 1 holds token id 5, an image or video "
            "placeholder");
}

TEST_F(WholeRun, bad_rows_are_replaced_counted_and_too_many_stop_the_run) {
  auto data = rows(6, 100);
  data[2]["images"] = {"img/none.png"};
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const Overrides options = {"trainer.prompts_per_step=6", "data.shuffle=false"};
  const auto folder = run("one", options);
  EXPECT_EQ(metrics_of(folder)[0].at("data/rejected_rows"), 1);
  std::vector<std::string> ids;
  for (const Json& row : completions_of(folder, 1))
    if (row.at("index") == 0) ids.push_back(row.at("prompt_id").get<std::string>());
  EXPECT_EQ(
      ids,
      (std::vector<std::string>{"row-100", "row-101", "row-103", "row-103", "row-104", "row-105"}));
  for (const size_t i : {3, 4}) data[i]["images"] = {"img/none.png"};
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const std::string message = error_of(options);
  EXPECT_EQ(message.find("2 of the 6 rows are bad, more than data.max_bad_fraction = 0.01 allows"),
            0U)
      << message;
}

TEST_F(WholeRun, row_with_an_unknown_verifier_is_named_and_replaced) {
  auto data = rows(6, 100);
  data[1]["verifier"] = "exakt";
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const testing::LogCapture log;
  Trainer(config("one", {"data.shuffle=false", "trainer.prompts_per_step=6"}),
          Task::kPolicyGradient)
      .run();
  EXPECT_EQ(metrics_of(scratch_ / "one")[0].at("data/rejected_rows"), 1);
  const std::string text = scratch_.shorten(log.text());
  EXPECT_NE(
      text.find(
          "bad row: train.jsonl:2 (id 'row-101'): 'verifier': unknown verifier 'exakt' (did you "
          "mean 'exact'?)"),
      std::string::npos)
      << text;
}

TEST_F(WholeRun, validation_row_with_an_unknown_verifier_is_named_and_left_out) {
  auto data = rows(3, 200);
  data[1]["verifier"] = "exakt";
  scratch_.write("val.jsonl", testing::to_jsonl(data));
  const Overrides options = {"eval.every=1",
                             "eval.at_start=false",
                             "data.eval={val: " + (scratch_ / "val.jsonl").string() + "}"};
  const testing::LogCapture log;
  Trainer(config("one", options), Task::kPolicyGradient).run();
  const std::string text = scratch_.shorten(log.text());
  EXPECT_NE(text.find("bad row: val.jsonl:2 (id 'row-201'): 'verifier': unknown verifier 'exakt' "
                      "(did you mean 'exact'?)"),
            std::string::npos)
      << text;
  const Json row = metrics_of(scratch_ / "one").at(0);
  EXPECT_TRUE(row.contains("val/val/even/pass@1"));
  EXPECT_FALSE(row.contains("val/val/odd/pass@1")) << "the only row of its task";
  for (Json& entry : data) entry["verifier"] = "exakt";
  scratch_.write("val.jsonl", testing::to_jsonl(data));
  EXPECT_EQ(error_of(options).find("data.eval.val: no row of val.jsonl can be judged: val.jsonl:1 "
                                   "(id 'row-200'): 'verifier': unknown verifier 'exakt'"),
            0U)
      << error_of(options);
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "refused" / "metrics.jsonl"))
      << "found when the run opens, before any step";
}

TEST_F(WholeRun, sft_replaces_and_counts_rows_with_nothing_to_learn_from) {
  auto data = rows(6, 100);
  data[1].erase("ground_truth");
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const Overrides options = {"data.shuffle=false", "trainer.prompts_per_step=6"};
  const auto rejected = [&](const std::string& name) {
    const testing::LogCapture log;
    Trainer(config(name, options), Task::kSft).run();
    EXPECT_EQ(metrics_of(scratch_ / name)[0].at("data/rejected_rows"), 1);
    return scratch_.shorten(log.text());
  };
  EXPECT_NE(rejected("nothing").find("bad row: train.jsonl:2 (id 'row-101'): no completion, "
                                     "ground_truth_completion or ground_truth to learn from"),
            std::string::npos);
  data[1]["completion"] = "a <|image_pad|>";
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  EXPECT_NE(rejected("placeholder")
                .find("bad row: train.jsonl:2 (id 'row-101'): the completion contains an image or "
                      "video placeholder token; remove it"),
            std::string::npos);
}

TEST_F(WholeRun, sft_phase_of_a_mixed_run_names_and_replaces_the_row_without_ground_truth) {
  auto data = rows(6, 100);
  data[1].erase("ground_truth");
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const testing::LogCapture log;
  const Overrides options = {
      "data.shuffle=false", "trainer.prompts_per_step=6", "trainer.sft_steps=1"};
  Trainer(config("one", options), Task::kPolicyGradient).run();
  EXPECT_EQ(metrics_of(scratch_ / "one")[0].at("data/rejected_rows"), 1);
  const std::string text = scratch_.shorten(log.text());
  EXPECT_NE(text.find("bad row: train.jsonl:2 (id 'row-101'): no ground_truth "
                      "or ground_truth_completion to learn from, which the SFT steps need "
                      "(trainer.sft_steps = 1)"),
            std::string::npos)
      << text;
}

TEST_F(WholeRun, sft_reports_the_loss_of_the_completions_of_a_split) {
  auto data = rows(6, 100);
  data[1]["completion"] = "a longer one";
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  data.push_back(data[0]);
  data.back().erase("ground_truth");  // nothing to learn from: in no mean
  scratch_.write("val.jsonl", testing::to_jsonl(data));
  scratch_.write("bare.jsonl", testing::to_jsonl({data.back()}));
  const Overrides options = {"trainer.prompts_per_step=6",
                             "optim.lr=0",
                             "eval.every=1",
                             "eval.max_new_tokens=4",
                             "data.eval={val: " + (scratch_ / "val.jsonl").string() +
                                 ", bare: " + (scratch_ / "bare.jsonl").string() + "}"};
  for (const Json& row : metrics_of(run("sft", options, Task::kSft))) {
    EXPECT_FALSE(row.contains("val/bare/loss"));
    if (row.at("step") == 0) continue;
    EXPECT_NEAR(row.at("val/val/loss").get<double>(), row.at("loss").get<double>(), 1e-5);
  }
  EXPECT_FALSE(metrics_of(run("train", options)).back().contains("val/val/loss"));
}

TEST_F(WholeRun, sft_learns_and_validates_rows_whose_prompt_ends_with_the_answer) {
  auto data = rows(4, 100);
  for (Json& row : data) {
    row["messages"] = {{{"role", "user"}, {"content", row["prompt"]}},
                       {{"role", "assistant"}, {"content", row["ground_truth"]}}};
    row.erase("prompt");
  }
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const Overrides options = {"trainer.prompts_per_step=4",
                             "eval.every=1",
                             "eval.max_new_tokens=4",
                             "data.eval={val: " + (scratch_ / "train.jsonl").string() + "}"};
  const Json last = metrics_of(run("sft", options, Task::kSft)).back();
  EXPECT_EQ(last.at("data/rejected_rows"), 0);
  EXPECT_EQ(last.at("val/val/n"), 4);
  EXPECT_TRUE(last.contains("val/val/loss"));
}

TEST_F(WholeRun, sft_lowers_the_loss_and_takes_completion_before_ground_truth) {
  auto data = rows(2, 100);
  for (Json& row : data) row["completion"] = "sandal";
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const auto sft = metrics_of(
      run("sft",
          {"trainer.steps=20", "trainer.prompts_per_step=2", "optim.lr=0.02", "optim.eps=1e-8"},
          Task::kSft));
  EXPECT_LT(sft.back().at("loss").get<double>(), 0.1 * sft.front().at("loss").get<double>());
  const auto evaluated = metrics_of(run("check",
                                        {"trainer.steps=1",
                                         "trainer.sft_steps=1",
                                         "optim.lr=0",
                                         "model.path=" + (scratch_ / "sft").string()}));
  EXPECT_GT(evaluated[0].at("loss").get<double>(), 1.0) << "'bag' was never learned";
}

TEST_F(WholeRun, report_shows_prompts_and_images_and_survives_the_loss_of_the_data) {
  const auto folder = run("told", {});
  const std::string page = core::read_file(folder / "report.html");
  EXPECT_NE(page.find("which item is this?"), std::string::npos);
  EXPECT_NE(page.find("data:image/png;base64,"), std::string::npos);
  std::filesystem::remove(scratch_ / "train.jsonl");
  const testing::LogCapture log;
  write_run_report(scratch_ / "again.html", {folder}, "again");
  const std::string bare = core::read_file(scratch_ / "again.html");
  EXPECT_EQ(bare.find("data:image/png;base64,"), std::string::npos);
  EXPECT_NE(bare.find("row-1"), std::string::npos) << "ids stand in for prompts";
  EXPECT_EQ(scratch_.shorten(log.text()),
            "report of told: prompts and images are left out: cannot read train.jsonl: No such "
            "file or directory\n");
}

TEST_F(WholeRun, report_finds_prompts_in_every_form_of_data_train) {
  const std::string train = (scratch_ / "train.jsonl").string();
  for (const std::string& form : {"[" + train + "]", "[{path: " + train + ", weight: 2}]"}) {
    const auto folder = run("told", {"data.train=" + form, "trainer.resume=auto"});
    const std::string page = core::read_file(folder / "report.html");
    EXPECT_NE(page.find("data:image/png;base64,"), std::string::npos) << form;
    std::filesystem::remove_all(folder);
  }
}

TEST_F(WholeRun, deterministic_is_told_to_the_library) {
  for (const bool wanted : {false, true}) {
    run(wanted ? "on" : "off", {core::str("trainer.deterministic=", wanted ? "true" : "false")});
    EXPECT_EQ(at::globalContext().deterministicAlgorithms(), wanted);
  }
}

TEST_F(WholeRun, memory_does_not_grow_with_the_steps) {
  const auto rows = metrics_of(run("long", both(coin(), {"trainer.steps=60"})));
  const double early = rows[19].at("mem/host_rss_gb").get<double>();
  const double late = rows[59].at("mem/host_rss_gb").get<double>();
  EXPECT_LT(late - early, 0.03) << early << " GiB after 20 steps, " << late << " after 60";
}

}  // namespace
}  // namespace sgrpo::trainer
