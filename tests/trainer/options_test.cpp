// Every estimator, loss and kind of data makes a step; what cannot be trained on is refused.
#include <cmath>

#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/loss.h"
#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

using Options = Runs;

/// A step moved the weights and every metric is finite.
void expect_sound_step(const std::filesystem::path& model, const std::filesystem::path& run) {
  const Tensors before = read_tensors(model / "model.safetensors");
  const Tensors after = read_tensors(run / "checkpoints/latest/model/model.safetensors");
  EXPECT_GT(max_difference(before, after), 0.0) << run;
  for (const Json& row : testing::read_jsonl(run / "metrics.jsonl"))
    for (const auto& [name, value] : row.items())
      EXPECT_TRUE(value.is_number()) << run << ": " << name << " is not finite";
}

TEST_F(Options, every_registered_estimator_and_loss_makes_a_step) {
  const Overrides graded = {
      "verifier.truncated=judge",
      "verifiers={low: {name: regex, params: {pattern: '[a-m]'}}, high: {name: regex, params: "
      "{pattern: '[n-z]'}}, digit: {name: regex, params: {pattern: '[0-9]'}}}",
      "rewards=[{verifier: low, weight: 4}, {verifier: high, weight: 2}, {verifier: digit}]"};
  for (const std::string& name : algorithm::EstimatorRegistry::names()) {
    Overrides options = both(graded, {"algorithm.estimator=" + name});
    if (name == "rank_grpo") options = {"algorithm.estimator=" + name, "verifier.name=ranked_list"};
    expect_sound_step(model(), run("estimator-" + name, options));
  }
  for (const std::string& name : algorithm::LossRegistry::names()) {
    if (algorithm::LossRegistry::get("loss", name)({})->is_part_only()) continue;
    Overrides options = both(coin(), {"algorithm.loss=" + name});
    algorithm::LossSettings settings;
    settings.algorithm.loss = name;
    if (algorithm::plan_demonstrations(settings, 1, 1))
      options.push_back("demonstrations.data=" + (scratch_ / "train.jsonl").string());
    expect_sound_step(model(), run("loss-" + name, options));
  }
}

TEST_F(Options, every_kind_of_injection_makes_a_step) {
  const std::vector<Overrides> kinds = {
      {"injection.mode=append"},
      {"injection.when=always", "injection.mode=append", "injection.smoothing=true"},
      {"injection.gt_old_logprob=one"},
      {"injection.gt_old_logprob=pi_old_score", "algorithm.epochs_per_rollout=2"},
      {"injection.gt_shape=p_over_p_plus_g"},
      {"injection.gt_shape=trsft"},
      {"injection.gt_shape=phi"},
      {"injection.victim=random"},
      {"injection.fail_weight=0.5", "algorithm.kl_coef=0.1", "injection.gt_kl=false"},
      {"injection.max_fraction=0.5"}};
  for (size_t i = 0; i < kinds.size(); ++i) {
    const auto folder = run(core::str("kind-", i), kinds[i]);
    SCOPED_TRACE(kinds[i].front());
    expect_sound_step(model(), folder);
    const double injected = metrics_of(folder)[0].at("cgi/injected_frac").get<double>();
    EXPECT_EQ(injected, i + 1 == kinds.size() ? 0.5 : 1.0);
  }
  EXPECT_EQ(completions_of(scratch_ / "kind-0", 1).size(), 4U * 5U) << "append: G + 1 members";
}

TEST_F(Options, warm_up_holds_injection_back) {
  const auto rows = metrics_of(run("warm", {"trainer.steps=3", "injection.warmup_steps=2"}));
  EXPECT_EQ(rows[0].at("cgi/injected_frac"), 0);
  EXPECT_EQ(rows[1].at("cgi/injected_frac"), 0);
  EXPECT_EQ(rows[2].at("cgi/injected_frac"), 1);
}

TEST_F(Options, sft_takes_a_kl_term) {
  const Overrides options = {"trainer.steps=2", "optim.lr=1.0"};
  const auto plain = run("plain", options, Task::kSft);
  const auto held = run("held", both(options, {"algorithm.kl_coef=5"}), Task::kSft);
  EXPECT_FALSE(metrics_of(plain)[1].contains("kl"));
  EXPECT_GT(metrics_of(held)[1].at("kl").get<double>(), 0.0);
  const double free_loss = metrics_of(plain)[1].at("loss").get<double>();
  EXPECT_NE(free_loss, metrics_of(held)[1].at("loss").get<double>());
}

TEST_F(Options, prompts_without_with_one_and_with_two_images_train_together) {
  auto data = rows(4, 100);
  data[0] = {{"id", "text"}, {"prompt", "which item"}, {"ground_truth", "bag"}};
  data[1]["images"] = {"img/100.png", "img/101.png"};
  data[1]["prompt"] = "<image> or <image>";
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  for (const char* share : {"model.share_prefix=true", "model.share_prefix=false"})
    expect_sound_step(model(), run(share, {share}));
  EXPECT_LT(max_difference(read_tensors(weights_of(scratch_ / "model.share_prefix=true", 1)),
                           read_tensors(weights_of(scratch_ / "model.share_prefix=false", 1))),
            1e-6);
}

TEST_F(Options, several_files_are_mixed_by_weight) {
  write_rows("other.jsonl", 6, 500);
  const auto folder =
      run("mix",
          {"data.train=[{path: " + (scratch_ / "train.jsonl").string() +
               ", weight: 1}, {path: " + (scratch_ / "other.jsonl").string() + ", weight: 1}]",
           "trainer.prompts_per_step=12"});
  int64_t other = 0;
  for (const Json& row : completions_of(folder, 1))
    other += row.at("index") == 0 && row.at("prompt_id").get<std::string>() >= "row-500";
  EXPECT_GT(other, 1);
  EXPECT_LT(other, 11);
}

TEST_F(Options, several_rewards_are_combined_and_listed) {
  const Json row =
      metrics_of(run("rewards",
                     {"verifier.truncated=judge",
                      "verifiers={some: {name: regex, params: {pattern: '[ab]'}}, all: "
                      "{name: regex, params: {pattern: '^'}}}",
                      "rewards=[{verifier: some, weight: 3}, {verifier: all, weight: 1}]"}))[0];
  EXPECT_EQ(row.at("rewards/all/mean"), 1.0);
  const double some = row.at("rewards/some/mean").get<double>();
  EXPECT_NEAR(row.at("reward").get<double>(), 0.75 * some + 0.25, 1e-12);
}

TEST_F(Options, ground_truth_longer_than_a_completion_is_a_bad_row) {
  auto data = rows(4, 100);
  data[1]["ground_truth"] = "a very long answer that no completion of eight tokens can hold";
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  EXPECT_EQ(metrics_of(run("long", {}))[0].at("data/rejected_rows"), 1);
  data[2] = data[1];
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const std::string message = error_of({});
  EXPECT_NE(message.find("tokens, at most 8 are allowed (rollout.max_new_tokens); raise the limit "
                         "or shorten it"),
            std::string::npos)
      << message;
}

TEST_F(Options, long_prompts_are_dropped_or_fatal_as_asked) {
  auto data = rows(5, 100);
  data[2]["prompt"] = "<image>" + std::string(300, 'w');
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const Overrides options = {"data.max_prompt_tokens=100", "trainer.prompts_per_step=5"};
  EXPECT_EQ(metrics_of(run("drop", options))[0].at("data/rejected_rows"), 1);
  const std::string message = error_of(both(options, {"data.on_long_prompt=error"}));
  EXPECT_EQ(message.find("train.jsonl:3 (id 'row-102'): the prompt has "), 0U) << message;
  EXPECT_NE(message.find("at most 100 are allowed (data.max_prompt_tokens)"), std::string::npos)
      << message;
}

TEST_F(Options, pictures_outside_the_root_are_refused) {
  auto data = rows(4, 100);
  data[3]["images"] = {"../outside.png"};
  scratch_.write("train.jsonl", testing::to_jsonl(data));
  const Overrides root = {"data.image_root=" + scratch_.path().string()};
  const testing::LogCapture log;
  Trainer(config("root", root), Task::kPolicyGradient).run();
  EXPECT_EQ(metrics_of(scratch_ / "root")[0].at("data/rejected_rows"), 1);
  EXPECT_NE(log.text().find("image '../outside.png' lies outside data.image_root"),
            std::string::npos);
}

TEST_F(Options, output_folder_that_cannot_be_made_is_an_error) {
  scratch_.write("file", "");
  const testing::LogCapture quiet;
  EXPECT_ANY_THROW(Trainer(config("file/run", {}), Task::kPolicyGradient));
}

TEST_F(Options, non_finite_gradient_is_left_out_counted_and_leaves_the_weights_alone) {
  auto data = rows(4, 100);
  for (Json& row : data) {
    row["completions"] = {"a", "b", "c", "d"};
    row["rewards"] = {1e300, -1e300, 0.0, 0.0};  // finite, but no gradient of theirs is
  }
  const auto file = scratch_.write("replay.jsonl", testing::to_jsonl(data));
  scratch_.write("train.jsonl", testing::to_jsonl(rows(4, 100)));
  const auto folder = run("wild", {"rollout.replay=" + file, "algorithm.std=none"});
  EXPECT_EQ(metrics_of(folder)[0].at("optim/skipped_steps"), 1);
  expect_same_bytes(weights_of(folder, 1), model() / "model.safetensors");
}

TEST_F(Options, deadlines_of_verifiers_mask_their_samples) {
  const auto folder = run("slow",
                          {"verifier.name=command",
                           "verifier.timeout_s=0.2",
                           "verifier.params={argv: [sh, -c, 'read x; sleep 60']}",
                           "verifier.truncated=judge",
                           "trainer.prompts_per_step=1",
                           "rollout.group_size=2"});
  const Json row = metrics_of(folder)[0];
  EXPECT_EQ(
      row.at("verifier/timeout_frac").get<double>() + row.at("verifier/error_frac").get<double>(),
      1.0);
  EXPECT_EQ(row.at("optim/no_signal_steps"), 1);
  expect_same_bytes(weights_of(folder, 1), model() / "model.safetensors");
}

}  // namespace
}  // namespace sgrpo::trainer
