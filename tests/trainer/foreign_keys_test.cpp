// What TRL's, verl's, EasyR1's and ms-swift's keys lead to.
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "sgrpo/config/binder.h"
#include "sgrpo/trainer/load_config.h"
#include "testing/scratch.h"

namespace sgrpo::trainer {
namespace {

std::string refusal_of(const std::vector<std::string>& overrides) {
  try {
    load_run_config({}, overrides);
  } catch (const config::ConfigError& error) {
    return error.what();
  }
  return "no error";
}

std::set<std::string> known_keys() {
  std::set<std::string> keys;
  for (const auto& line : config::list_fields<RunConfig>()) keys.insert(line.path);
  return keys;
}

TEST(ForeignKeys, every_advice_names_keys_that_exist) {
  const std::set<std::string> keys = known_keys();
  const config::ForeignKeys& foreign = run_config_aliases().foreign;
  EXPECT_GE(foreign.words.size(), 150u);
  const std::regex path(
      "\\b(model|data|rollout|verifier|injection|algorithm|optim|trainer|eval)\\.([a-z_]+)");
  for (const auto* part : {&foreign.words, &foreign.top_level, &foreign.sections}) {
    for (const auto& [word, advice] : *part) {
      EXPECT_EQ(keys.count(word), 0u) << word << " is a key of ours";
      for (std::sregex_iterator found(advice.begin(), advice.end(), path), end; found != end;
           ++found) {
        EXPECT_EQ(keys.count(found->str()), 1u) << word << ": " << advice;
      }
    }
  }
}

TEST(ForeignKeys, keys_of_the_usual_programs_lead_to_ours) {
  const std::pair<const char*, const char*> expected[] = {
      {"learning_rate", "optim.lr"},
      {"max_steps", "trainer.steps"},
      {"warmup_ratio", "the ratio x trainer.steps"},
      {"num_train_epochs", "trainer.steps"},
      {"scale_rewards", "algorithm.std"},
      {"loss_type", "algorithm.aggregation"},
      {"save_total_limit", "trainer.keep_last"},
      {"lr_scheduler_type", "optim.schedule"},
      {"logging_steps", "metrics.jsonl"},
      {"bf16", "model.dtype"},
      {"max_prompt_length", "data.max_prompt_tokens, in tokens"},
      {"use_vllm", "without an inference server"},
      {"warmup_steps", "optim.warmup_steps"},
      {"gradient_accumulation_steps", "trainer.prompts_per_step x rollout.group_size"},
      {"data.train_files", "data.train"},
      {"data.val_files", "data.eval"},
      {"data.train_batch_size", "trainer.prompts_per_step x rollout.group_size"},
      {"actor_rollout_ref.actor.optim.lr", "optim.lr"},
      {"actor_rollout_ref.actor.kl_loss_coef", "algorithm.kl_coef"},
      {"actor_rollout_ref.actor.ppo_mini_batch_size", "trainer.prompts_per_step x"},
      {"actor_rollout_ref.rollout.n", "rollout.group_size"},
      {"actor_rollout_ref.model.path", "model.path"},
      {"actor_rollout_ref.ref.fsdp_size", "verl's section"},
      {"algorithm.adv_estimator", "algorithm.estimator"},
      {"algorithm.kl_ctrl.kl_coef", "algorithm.kl_coef"},
      {"trainer.total_epochs", "trainer.steps"},
      {"trainer.test_freq", "eval.every"},
      {"trainer.n_gpus_per_node", "scripts/launch.sh"},
      {"worker.actor.model.model_path", "model.path"},
      {"worker.rollout.n", "rollout.group_size"},
      {"worker.actor.clip_ratio_high", "algorithm.clip_high"},
      {"top_entropy_quantile", "algorithm.top_entropy_quantile"},
      {"use_bias_correction_kl", "algorithm.kl_importance"},
      {"vllm_importance_sampling_mode", "tis: {mode: the same word, or off} under algorithm"},
      {"sapo_temperature_pos", "temperature_pos"},
      {"lora_rank", "model.lora"},
      {"freeze_vit", "model.freeze"},
      {"reward_funcs", "verifier.name"},
      {"sync_ref_model", "algorithm.kl_ref: ema"},
      {"ref_model_mixup_alpha", "decay: 1 - that number"},
      {"use_adaptive_entropy", "algorithm.adaptive_entropy: {target"},
      {"entropy_coef_delta", "algorithm.adaptive_entropy: {delta"},
      {"algorithm.kl_ctrl.target_kl", "algorithm.kl_adaptive"},
  };
  for (const auto& [key, advice] : expected) {
    const std::string message = refusal_of({std::string(key) + "=1"});
    EXPECT_EQ(message.find(core::str("command line: ", key, "=1: '", key, "' is not a key of ")),
              0u)
        << message;
    EXPECT_NE(message.find(advice), std::string::npos) << message;
  }
}

TEST(ForeignKeys, epsilon_high_with_cispo_is_refused_with_the_reason) {
  EXPECT_EQ(refusal_of({"epsilon_high=5", "algorithm.loss=cispo"}),
            "command line: epsilon_high=5: 'epsilon_high' with algorithm.loss: cispo is refused: "
            "TRL's epsilon_high is the bound itself there, here the bound is 1 + "
            "algorithm.clip_high: write algorithm.clip_high, that number less 1");
  EXPECT_EQ(refusal_of({"algorithm.clip_high=4", "algorithm.loss=cispo"}), "no error");
  EXPECT_EQ(refusal_of({"epsilon_high=0.28"}), "no error");
}

TEST(ForeignKeys, beta_is_read_and_its_difference_told) {
  const auto said = [](const std::vector<std::string>& overrides) {
    testing::LogCapture log;
    load_run_config({}, overrides);
    return log.text();
  };
  EXPECT_NE(said({"beta=0.04"})
                .find("beta is read as algorithm.kl_coef: TRL multiplies the KL "
                      "term by the ratio policy / old (its use_bias_correction_kl), "
                      "here algorithm.kl_importance: true does that"),
            std::string::npos);
  EXPECT_EQ(said({"beta=0.04", "algorithm.kl_importance=true"}), "");
  EXPECT_EQ(said({"beta=0"}), "");
  EXPECT_EQ(said({"algorithm.kl_coef=0.04"}), "");
}

TEST(ForeignKeys, later_checks_name_the_key_that_the_user_wrote) {
  EXPECT_EQ(refusal_of({"num_generations=1"})
                .find("num_generations (rollout.group_size) is 1 and injection.mode is replace: "),
            0u);
  EXPECT_EQ(refusal_of({"beta=-1"}),
            "command line: beta=-1: beta (algorithm.kl_coef) is -1, expected 0..1.0e+6");
}

TEST(Messages, a_blob_is_cut) {
  const std::string blob(100'000, 'x');
  for (const std::string& message : {refusal_of({"rewards=[" + blob + "]"}),
                                     refusal_of({"verifiers={" + blob + ": 1}"}),
                                     refusal_of({"verifiers={a: {name: " + blob + "}}"}),
                                     refusal_of({"trainer.keep_best=" + blob}),
                                     refusal_of({"data.train=[{" + blob + ": 1}]"}),
                                     refusal_of({"model.lora={" + blob + ": 1}"}),
                                     refusal_of({"algorithm.loss=" + blob})}) {
    EXPECT_NE(message, "no error");
    EXPECT_LT(message.size(), 600u) << message.substr(0, 600);
  }
}

}  // namespace
}  // namespace sgrpo::trainer
