#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "sgrpo/config/binder.h"
#include "sgrpo/trainer/load_config.h"

namespace sgrpo::trainer {
namespace {

std::string load_error(const std::vector<std::string>& overrides) {
  try {
    load_run_config({}, overrides);
  } catch (const core::UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST(LoadRunConfig, defaults_are_those_of_the_documentation) {
  EXPECT_EQ(config::to_yaml(load_run_config({}, {})),
            R"(seed: 0
output_dir: null
model:
  path: null
  dtype: auto
  device: auto
  freeze: []
  lora: null
  share_prefix: true
data:
  train: null
  eval: {}
  baseline: null
  image_dir: null
  image_root: null
  max_pixels: null
  min_pixels: null
  shuffle: true
  max_prompt_tokens: 4096
  on_long_prompt: drop
  max_bad_fraction: 0.01
rollout:
  group_size: 8
  max_new_tokens: 256
  temperature: 1
  top_p: 1
  top_k: 0
  sampling_mask: true
  replay: null
  filter_groups: "off"
  max_generation_rounds: 3
verifier:
  name: exact
  params: {}
  timeout_s: 10
  start_timeout_s: 60
  workers: 1
  sandbox: auto
  truncated: incorrect
verifiers: {}
rewards: []
injection:
  when: all_fail
  low_reward:
    max: 0.4
    std: 0.1
  mode: replace
  victim: lowest_logprob
  gt_reward: 1
  gt_relative:
    scale: 2
    floor: 0.5
  gt_template: null
  gt_old_logprob: current_detached
  gt_clip: true
  gt_kl: true
  gt_shape: none
  shape_g: 0.1
  shape_alpha: 0.1
  smoothing: false
  fail_weight: 1
  warmup_steps: 0
  max_fraction: 1
algorithm:
  estimator: grpo
  std: sample
  std_eps: 1.0e-4
  min_spread: 0
  loss: clipped
  aggregation: token_mean
  aggregation_constant: null
  clip_low: 0.2
  clip_high: 0.2
  clip_dual: null
  tis:
    mode: "off"
    min: null
    max: 3
  top_entropy_quantile: 1
  off_policy_mask: null
  kl_coef: 0
  kl_importance: false
  kl_estimator: k3
  kl_place: loss
  kl_ref: start
  kl_adaptive: null
  labels: none
  epochs_per_rollout: 1
  minibatches_per_rollout: 1
  entropy_coef: 0
  adaptive_entropy: null
  shaping: []
  modifiers: []
  params: {}
retention:
  data: null
  weight: 0.2
  kind: self
  loss: arm
demonstrations:
  data: null
  prompts_per_step: null
frozen: {}
memory:
  reward_window: 0
optim:
  lr: 1.0e-6
  betas: [0.9, 0.999]
  eps: 1.0e-8
  weight_decay: 0
  weight_decay_on: matrices
  warmup_steps: 0
  schedule: constant
  min_lr_frac: 0
  schedule_steps: null
  max_grad_norm: 1
trainer:
  steps: 100
  prompts_per_step: 32
  micro_batch_tokens: 8192
  sft_steps: 0
  save_every: 0
  save_every_minutes: 15
  keep_last: 2
  keep_best: null
  early_stopping_patience: null
  stop_before_end_s: 120
  resume: auto
  deterministic: true
eval:
  every: 0
  at_start: true
  samples: 1
  temperature: 0
  k: [1]
  max_new_tokens: null
distributed:
  backend: auto
  timeout_s: 120
  zero_stage: 0
)");
}

TEST(LoadRunConfig, names_of_other_frameworks_are_accepted) {
  const RunConfig config = load_run_config({},
                                           {"num_generations=4",
                                            "max_completion_length=16",
                                            "beta=0.1",
                                            "epsilon=0.3",
                                            "epsilon_high=0.4",
                                            "num_iterations=2",
                                            "save_steps=5",
                                            "model_name_or_path=dir"});
  EXPECT_EQ(config.rollout.group_size, 4);
  EXPECT_EQ(config.rollout.max_new_tokens, 16);
  EXPECT_EQ(config.algorithm.kl_coef, 0.1);
  EXPECT_EQ(config.algorithm.clip_low, 0.3);
  EXPECT_EQ(config.algorithm.clip_high, 0.4);
  EXPECT_EQ(config.algorithm.epochs_per_rollout, 2);
  EXPECT_EQ(config.trainer.save_every, 5);
  EXPECT_EQ(config.model.path, "dir");
  EXPECT_EQ(load_run_config({}, {"rollout.n=3", "save_freq=7"}).trainer.save_every, 7);
  EXPECT_EQ(load_run_config({}, {"rollout={n: 3, max_response_length: 9}"}).rollout.group_size, 3);
}

TEST(LoadRunConfig, command_line_wins_over_the_file_and_later_over_earlier) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("sgrpo-" + std::to_string(::getpid()) + ".yaml");
  std::ofstream(path) << "num_generations: 16\noptim:\n  lr: 0.5\n";
  const RunConfig config =
      load_run_config(path, {"rollout.group_size=4", "num_generations=2", "optim.eps=1e-9"});
  EXPECT_EQ(config.rollout.group_size, 2);
  EXPECT_EQ(config.optim.lr, 0.5);
  EXPECT_EQ(config.optim.eps, 1e-9);
  std::ofstream(path) << "optim:\n  lr: -1\n";
  std::string message;
  try {
    load_run_config(path, {});
  } catch (const config::ConfigError& error) {
    message = error.what();
  }
  EXPECT_EQ(message, path.string() + ":2: optim.lr is -1, expected 0..100");
  std::filesystem::remove(path);
}

TEST(LoadRunConfig, batch_words_are_refused_with_the_batch_equation) {
  for (const char* word : {"per_device_train_batch_size=4",
                           "trainer.gradient_accumulation_steps=4",
                           "data.train_batch_size=4",
                           "ppo_mini_batch_size=4"}) {
    const std::string message = load_error({word});
    EXPECT_EQ(message.find("command line: " + std::string(word) + ": '"), 0u) << message;
    EXPECT_NE(message.find("trainer.prompts_per_step x rollout.group_size completions"),
              std::string::npos)
        << message;
  }
}

TEST(LoadRunConfig, override_without_a_value_is_refused) {
  EXPECT_EQ(load_error({"rollout.group_size"}),
            "command line: rollout.group_size: expected key.sub=value");
}

TEST(Validate, combinations_without_meaning_say_what_to_do) {
  EXPECT_EQ(load_error({"optim.betas=[0.9]"}), "optim.betas has 1 entries, expected 2: [b1, b2]");
  EXPECT_EQ(load_error({"eval.k=[1, 4]", "eval.samples=2"}),
            "eval.k has 4, expected at most eval.samples (2): pass@k needs k completions of a row");
  EXPECT_EQ(load_error({"eval.k=[]"}), "eval.k is empty, expected at least one k, such as [1]");
  EXPECT_EQ(load_error({"algorithm.minibatches_per_rollout=8", "trainer.prompts_per_step=4"}),
            "algorithm.minibatches_per_rollout is 8, expected at most trainer.prompts_per_step "
            "(4): a minibatch holds whole groups");
  EXPECT_EQ(load_error({"injection.gt_shape=trsft", "injection.gt_old_logprob=one"})
                .find("injection.gt_shape is trsft and injection.gt_old_logprob is one: "),
            0u);
  EXPECT_EQ(load_error({"injection.gt_shape=trsft"}), "no error");
  EXPECT_EQ(load_error({"rollout.group_size=1"})
                .find("rollout.group_size is 1 and injection.mode is replace: "),
            0u);
  EXPECT_EQ(load_error({"rollout.group_size=1", "injection.when=never"})
                .find("rollout.group_size is 1, and estimator grpo compares "),
            0u);
  EXPECT_EQ(load_error({"trainer.keep_best=val/val/pass@1", "data.eval={val: v.jsonl}"}),
            "trainer.keep_best is 'val/val/pass@1', which needs validation: set data.eval and "
            "eval.every");
  EXPECT_EQ(
      load_error({"trainer.keep_best=val/val/pass@1", "data.eval={val: v.jsonl}", "eval.every=5"}),
      "no error");
  EXPECT_EQ(load_error({"data.min_pixels=9", "data.max_pixels=4"}),
            "data.min_pixels is 9, expected at most data.max_pixels (4)");
}

TEST(Validate, names_of_registered_things_are_refused_at_load) {
  const auto expect_nearest = [](const std::string& key, const char* typed, const char* meant) {
    const std::string error = load_error({core::str(key, "=", typed)});
    EXPECT_EQ(error.find(core::str("command line: ", key, "=", typed, ": expected ")), 0u) << error;
    EXPECT_NE(error.find(core::str(" (did you mean '", meant, "'?)")), std::string::npos) << error;
  };
  expect_nearest("algorithm.estimator", "rlo", "rloo");
  expect_nearest("algorithm.loss", "cliped", "clipped");
  expect_nearest("verifier.name", "exat", "exact");
  for (const char* key : {"algorithm.shaping", "algorithm.modifiers"}) {
    const std::string error = load_error({core::str(key, "=[{name: nobody}]")});
    EXPECT_NE(error.find("nobody"), std::string::npos) << error;
    EXPECT_NE(error.find("known: "), std::string::npos) << error;
  }
  EXPECT_EQ(load_error({"verifier.name=mine", "verifiers.mine={name: exact}"}), "no error");
  EXPECT_EQ(load_error({"verifiers.mine={name: exat}"})
                .find("verifiers.mine.name: unknown verifier 'exat' (did you mean 'exact'?)"),
            0u);
  EXPECT_EQ(load_error({"verifiers.mine={name: exact}", "rewards=[{verifier: mime}]"})
                .find("rewards[0].verifier: unknown verifier 'mime' (did you mean 'mine'?)"),
            0u);
}

TEST(Validate, values_of_later_versions_are_refused_by_name) {
  EXPECT_EQ(load_error({"model.lora={rank: 0}"}), "model.lora: 'rank' is 0, expected 1..65536");
  EXPECT_EQ(load_error({"distributed.zero_stage=1"}).find("distributed.zero_stage is 1: "), 0u);
}

TEST(Validate, free_form_lists_are_checked_entry_by_entry) {
  EXPECT_EQ(load_error({"data.train=[a.jsonl, {path: b.jsonl, weight: 2}]"}), "no error");
  EXPECT_EQ(load_error({"data.train=[{weight: 2}]"}), "data.train[0]: key 'path' is missing");
  EXPECT_EQ(load_error({"data.train=[{path: a, weigth: 2}]"}),
            "data.train[0]: unknown key 'weigth' (did you mean 'weight'?), expected path, weight, "
            "from_step and until_step");
  EXPECT_EQ(load_error({"data.train=[{path: a, weight: 0}]"}),
            "data.train[0].weight is 0, expected a number above 0");
  EXPECT_EQ(load_error({"data.train=[{path: a, until_step: 10}]", "trainer.steps=10"}), "no error");
  EXPECT_EQ(load_error({"data.train=[{path: a, until_step: 10}]", "trainer.steps=11"}),
            "data.train: no entry is active at step 11 of 11; lower a from_step, raise an "
            "until_step, or shorten the run (trainer.steps)");
  EXPECT_EQ(load_error({"rewards=[{weight: 2}]"}), "rewards[0]: key 'verifier' is missing");
  EXPECT_EQ(load_error({"verifiers={caption: keywords}"}),
            "verifiers.caption is \"keywords\", expected {name: VERIFIER, params: {...}}");
  EXPECT_EQ(load_error({"verifiers.caption.name=keywords", "verifiers.caption.parms={}"}),
            "verifiers.caption: unknown key 'parms', expected name and params");
}

}  // namespace
}  // namespace sgrpo::trainer
