// What the keys of TRL, verl, EasyR1 and ms-swift are called here, with unit and conversion.
// Nothing here sets a value: an unknown key is refused with the line that says what to write
// instead.
#include "trainer/foreign_keys.h"

#include <initializer_list>
#include <utility>

namespace sgrpo::trainer {
namespace {

using Advice = std::initializer_list<std::pair<const char*, const char*>>;

constexpr const char* kBatchEquation =
    "batch sizes have one meaning here. A step samples trainer.prompts_per_step x "
    "rollout.group_size completions over all ranks; it makes algorithm.epochs_per_rollout x "
    "algorithm.minibatches_per_rollout optimizer steps, each on prompts_per_step / "
    "minibatches_per_rollout prompts; trainer.micro_batch_tokens bounds the memory of one pass and "
    "never changes the result. Set these instead";
constexpr const char* kEpochs =
    "a run's length is trainer.steps; one epoch = rows of data.train / trainer.prompts_per_step "
    "steps";
constexpr const char* kPrecision =
    "set model.dtype: bfloat16 or float32 (masters and moments are float32 either way)";
constexpr const char* kEngine =
    "completions are sampled by this program itself, without an inference server: leave it out";
constexpr const char* kCheckpointing =
    "leave it out; trainer.micro_batch_tokens bounds the memory of a pass, model.lora and "
    "model.freeze what trains";
constexpr const char* kSharding =
    "leave it out; `sgrpo plan` shows the memory of a run, model.lora and model.freeze lower it";
constexpr const char* kLogging =
    "leave it out: every step is a line of metrics.jsonl and of the TensorBoard events in "
    "output_dir";
constexpr const char* kTracking =
    "leave it out: output_dir holds metrics.jsonl, TensorBoard events and report.html";
constexpr const char* kHub = "leave it out: nothing is uploaded; `sgrpo export` makes a folder";
constexpr const char* kLoader = "leave it out: rows are read and decoded by a thread of their own";
constexpr const char* kRewardFunctions =
    "set verifier.name, or rewards: [{verifier: NAME, weight: 1.0}]; own code runs as verifier "
    "`command`";
constexpr const char* kKlCoef =
    "set algorithm.kl_coef (the same number; 0 keeps no reference), algorithm.kl_estimator: k3 and "
    "algorithm.kl_place: loss";
constexpr const char* kKlEstimator =
    "set algorithm.kl_estimator: kl is k1, mse is k2, low_var_kl is k3";
constexpr const char* kAggregation =
    "set algorithm.aggregation: token-mean is token_mean, seq-mean-token-sum is "
    "seq_mean_token_sum, seq-mean-token-mean is seq_mean_token_mean, "
    "seq-mean-token-sum-norm is seq_mean_token_sum_const";
constexpr const char* kEstimator =
    "set algorithm.estimator (grpo, rloo, dr_grpo, ...; print-config --help lists all)";
constexpr const char* kWarmupRatio =
    "set optim.warmup_steps, in steps: the ratio x trainer.steps (0.1 of 100 steps: 10)";
constexpr const char* kEvalEvery = "set eval.every, in steps (0 = never)";
constexpr const char* kEvalAtStart = "set eval.at_start (true or false)";
constexpr const char* kKeepLast = "set trainer.keep_last, in checkpoints (0 = all)";
constexpr const char* kResume =
    "set trainer.resume: auto continues the run in output_dir, never starts anew";
constexpr const char* kOutputDir = "set output_dir";
constexpr const char* kColumn =
    "rows name their columns as the data format says (prompt, images, ground_truth, completion); "
    "rename the column in the file";
constexpr const char* kDataRow =
    "this is a column of data rows: a data file is not a configuration; give it as data.train=FILE";
constexpr const char* kFreezeVision = "set model.freeze: [vision, merger]";
constexpr const char* kLora =
    "set model.lora: {rank: 16, alpha: 32, targets: all-linear} (PEFT's r and lora_alpha; no "
    "dropout)";
constexpr const char* kRanks = "start one process for each device instead (scripts/launch.sh -n N)";
constexpr const char* kQuantised = "leave it out: weights are float32 or bfloat16 (model.dtype)";

constexpr Advice kTrainerWords = {
    {"learning_rate", "set optim.lr (the peak learning rate, the same number)"},
    {"lr", "set optim.lr (the peak learning rate, the same number)"},
    {"lr_scheduler_type", "set optim.schedule: constant, linear or cosine (warm-up apart)"},
    {"lr_scheduler_kwargs", "set optim.min_lr_frac (the share of lr at the end)"},
    {"lr_warmup_steps", "set optim.warmup_steps, in steps (the same number)"},
    {"warmup_steps", "set optim.warmup_steps, in steps (the same number)"},
    {"warmup_ratio", kWarmupRatio},
    {"lr_warmup_ratio", kWarmupRatio},
    {"lr_warmup_steps_ratio", kWarmupRatio},
    {"warmup_style", "set optim.schedule: constant, linear or cosine"},
    {"min_lr_ratio", "set optim.min_lr_frac (the same number)"},
    {"adam_beta1", "set optim.betas: [beta1, beta2]"},
    {"adam_beta2", "set optim.betas: [beta1, beta2]"},
    {"adam_epsilon", "set optim.eps (the same number)"},
    {"grad_clip", "set optim.max_grad_norm (the same number; 0 = off)"},
    {"optim_type", "leave it out: the optimizer is AdamW"},
    {"num_train_epochs", kEpochs},
    {"total_epochs", kEpochs},
    {"total_episodes", kEpochs},
    {"epochs", kEpochs},
    {"max_steps", "set trainer.steps (rollouts, each with all its updates)"},
    {"num_steps", "set trainer.steps (rollouts, each with all its updates)"},
    {"total_training_steps", "set trainer.steps (rollouts, each with all its updates)"},
    {"save_total_limit", kKeepLast},
    {"save_limit", kKeepLast},
    {"max_actor_ckpt_to_keep", kKeepLast},
    {"save_strategy", "set trainer.save_every, in steps (0 = only the last)"},
    {"save_only_model", "leave it out: a checkpoint holds the model folder and the run's state"},
    {"eval_strategy", kEvalEvery},
    {"evaluation_strategy", kEvalEvery},
    {"eval_steps", kEvalEvery},
    {"val_freq", kEvalEvery},
    {"test_freq", kEvalEvery},
    {"val_before_train", kEvalAtStart},
    {"eval_on_start", kEvalAtStart},
    {"val_only", "run `sgrpo eval` with this configuration instead"},
    {"do_train", "leave it out: the command says what is done (train, sft, eval)"},
    {"do_eval", "leave it out: data.eval and eval.every say when a run is validated"},
    {"load_best_model_at_end", "set trainer.keep_best; the best checkpoint is linked as best"},
    {"metric_for_best_model", "set trainer.keep_best, such as val/NAME/pass@1 (maximised)"},
    {"greater_is_better", "leave it out: trainer.keep_best is maximised"},
    {"resume_from_checkpoint", kResume},
    {"resume_mode", kResume},
    {"resume_from_path", kResume},
    {"find_last_checkpoint", kResume},
    {"load_checkpoint_path", kResume},
    {"ignore_data_skip", "leave it out: a resumed run goes on at the row where it stopped"},
    {"overwrite_output_dir", kResume},
    {"default_local_dir", kOutputDir},
    {"save_checkpoint_path", kOutputDir},
    {"project_name", kTracking},
    {"experiment_name", kOutputDir},
    {"run_name", kOutputDir},
    {"logging_steps", kLogging},
    {"logging_dir", kLogging},
    {"logging_strategy", kLogging},
    {"logging_first_step", kLogging},
    {"log_level", "use the flag --quiet for warnings and errors only"},
    {"log_completions", "leave it out: every completion is in output_dir/completions"},
    {"num_completions_to_print", "leave it out: every completion is in output_dir/completions"},
    {"val_generations_to_log", "leave it out: report.html shows sample completions"},
    {"log_val_generations", "leave it out: report.html shows sample completions"},
    {"report_to", kTracking},
    {"logger", kTracking},
    {"wandb_project", kTracking},
    {"push_to_hub", kHub},
    {"hub_model_id", kHub},
    {"data_seed", "set seed: one key for all random numbers of a run"},
    {"full_determinism", "set trainer.deterministic (true is the default)"},
    {"disable_tqdm", "use the flag --quiet"},
};

constexpr Advice kMachineWords = {
    {"bf16", kPrecision},
    {"fp16", kPrecision},
    {"tf32", kPrecision},
    {"torch_dtype", kPrecision},
    {"mixed_precision", kPrecision},
    {"attn_implementation", "leave it out: there is one attention"},
    {"attn_impl", "leave it out: there is one attention"},
    {"use_remove_padding", "leave it out: sequences are always packed without padding"},
    {"padding_free", "leave it out: sequences are always packed without padding"},
    {"packing", "leave it out: sequences are always packed without padding"},
    {"use_dynamic_bsz", "set trainer.micro_batch_tokens, in tokens"},
    {"ppo_max_token_len_per_gpu", "set trainer.micro_batch_tokens, in tokens"},
    {"log_prob_max_token_len_per_gpu", "set trainer.micro_batch_tokens, in tokens"},
    {"gradient_checkpointing", kCheckpointing},
    {"gradient_checkpointing_kwargs", kCheckpointing},
    {"enable_gradient_checkpointing", kCheckpointing},
    {"use_liger_kernel", "leave it out: the loss never holds all logits"},
    {"use_liger_loss", "leave it out: the loss never holds all logits"},
    {"torch_compile", "leave it out"},
    {"use_torch_compile", "leave it out"},
    {"deepspeed", kSharding},
    {"fsdp", kSharding},
    {"fsdp_config", kSharding},
    {"n_gpus_per_node", kRanks},
    {"nnodes", kRanks},
    {"nproc_per_node", kRanks},
    {"use_cpu", "set model.device: cpu"},
    {"no_cuda", "set model.device: cpu"},
    {"dataloader_num_workers", kLoader},
    {"dataloader_pin_memory", kLoader},
    {"dataset_num_proc", kLoader},
    {"remove_unused_columns", "leave it out: extra columns are handed to the verifier"},
    {"trust_remote_code", "leave it out: no code of a checkpoint is ever run"},
    {"load_in_4bit", kQuantised},
    {"load_in_8bit", kQuantised},
    {"quant_bits", kQuantised},
    {"use_peft", kLora},
    {"train_type", kLora},
    {"tuner_type", kLora},
    {"lora_r", kLora},
    {"lora_rank", kLora},
    {"lora_alpha", kLora},
    {"lora_dropout", kLora},
    {"lora_target_modules", kLora},
    {"target_modules", kLora},
    {"freeze_vision_tower", kFreezeVision},
    {"freeze_vit", kFreezeVision},
    {"freeze_aligner", "set model.freeze: [merger]"},
    {"freeze_llm", "set model.freeze: [language]"},
    {"model_path", "set model.path"},
    {"model_revision", "leave it out: model.path is a folder on this machine"},
    {"tokenizer_path", "leave it out: the tokenizer is read from model.path"},
};

constexpr Advice kDataWords = {
    {"train_files", "set data.train (a JSONL file, or a list of {path, weight})"},
    {"dataset", "set data.train (a JSONL file, or a list of {path, weight})"},
    {"dataset_name", "set data.train (a JSONL file; nothing is downloaded)"},
    {"val_files", "set data.eval: {NAME: FILE.jsonl}"},
    {"val_dataset", "set data.eval: {NAME: FILE.jsonl}"},
    {"prompt_key", kColumn},
    {"answer_key", kColumn},
    {"image_key", kColumn},
    {"reward_fn_key", "a row names its verifier in the column `verifier`"},
    {"dataset_text_field", kColumn},
    {"max_prompt_length",
     "set data.max_prompt_tokens, in tokens with the image's (longer prompts are dropped, never "
     "cut: data.on_long_prompt)"},
    {"max_length",
     "set data.max_prompt_tokens and rollout.max_new_tokens, in tokens (prompt and completion "
     "apart)"},
    {"max_seq_length",
     "set data.max_prompt_tokens and rollout.max_new_tokens, in tokens (prompt and completion "
     "apart)"},
    {"filter_overlong_prompts", "set data.on_long_prompt: drop or error"},
    {"overlong_filter", "set data.on_long_prompt: drop or error"},
    {"truncation", "set data.on_long_prompt: drop or error (prompts are never cut)"},
    {"truncation_strategy", "set data.on_long_prompt: drop or error (prompts are never cut)"},
    {"shuffle_dataset", "set data.shuffle"},
    {"format_prompt", "write the prompt into the rows; templates are never executed"},
    {"system", "write a system turn into the rows' prompts"},
    {"completion_only_loss", "leave it out: only completions are in the loss"},
    {"assistant_only_loss", "leave it out: only completions are in the loss"},
};

/// Columns of data rows, at the top of what should be a configuration.
constexpr Advice kRowColumns = {
    {"prompt", kDataRow},
    {"messages", kDataRow},
    {"conversations", kDataRow},
    {"problem", kDataRow},
    {"ground_truth", kDataRow},
    {"solution", kDataRow},
    {"completion", kDataRow},
    {"images", kDataRow},
};

constexpr Advice kRolloutWords = {
    {"use_vllm", kEngine},
    {"vllm_mode", kEngine},
    {"vllm_server_host", kEngine},
    {"vllm_server_port", kEngine},
    {"vllm_gpu_memory_utilization", kEngine},
    {"vllm_tensor_parallel_size", kEngine},
    {"vllm_importance_sampling_correction", kEngine},
    {"gpu_memory_utilization", kEngine},
    {"tensor_model_parallel_size", kEngine},
    {"tensor_parallel_size", kEngine},
    {"enforce_eager", kEngine},
    {"free_cache_engine", kEngine},
    {"enable_chunked_prefill", kEngine},
    {"max_num_batched_tokens", kEngine},
    {"max_model_len", kEngine},
    {"val_kwargs", "set eval.temperature, eval.samples and eval.k"},
    {"val_override_config", "set eval.temperature, eval.samples and eval.k"},
    {"min_p", "use rollout.top_p or rollout.top_k"},
    {"repetition_penalty", "leave it out: sampling has temperature, top_p and top_k"},
    {"do_sample", "set rollout.temperature; eval.temperature: 0 is greedy"},
    {"generation_kwargs", "set rollout.temperature, rollout.top_p and rollout.top_k"},
};

constexpr Advice kAlgorithmWords = {
    {"adv_estimator", kEstimator},
    {"advantage_estimator", kEstimator},
    {"rlhf_type", "run the command `train`, or `sft`; algorithm.estimator says which advantage"},
    {"scale_rewards",
     "set algorithm.std: true or group is sample, false or none is none, batch is batch"},
    {"norm_adv_by_std_in_grpo", "set algorithm.std: true is sample, false is none"},
    {"loss_type",
     "set algorithm.loss and algorithm.aggregation: grpo is clipped with seq_mean_token_mean, "
     "bnpo and dapo are clipped with token_mean, dr_grpo is clipped with "
     "seq_mean_token_sum_const, luspo is gspo with seq_mean_token_sum, cispo, sapo and vespo have "
     "their own names"},
    {"importance_sampling_level",
     "set algorithm.loss: token is clipped, sequence is gspo (with clip_low 3.0e-4, clip_high "
     "4.0e-4, aggregation seq_mean_token_mean)"},
    {"loss_agg_mode", kAggregation},
    {"loss_avg_mode", kAggregation},
    {"policy_loss",
     "set algorithm.loss: vanilla is clipped, gspo is gspo_token, sapo, geo_mean, clip_cov and "
     "kl_cov have their own names"},
    {"clip_ratio", "set algorithm.clip_low and algorithm.clip_high (the same number for both)"},
    {"clip_ratio_low", "set algorithm.clip_low (the same number)"},
    {"clip_ratio_high", "set algorithm.clip_high (the same number)"},
    {"clip_ratio_c", "set algorithm.clip_dual (the same number)"},
    {"clip_ratio_dual", "set algorithm.clip_dual (the same number)"},
    {"delta", "set algorithm.clip_dual (a bound for negative advantages alone)"},
    {"top_entropy_quantile", "set algorithm.top_entropy_quantile (the same number)"},
    {"off_policy_mask_threshold", "set algorithm.off_policy_mask (the same number)"},
    {"off_policy_sequence_mask_delta", "set algorithm.off_policy_mask (the same number)"},
    {"use_bias_correction_kl", "set algorithm.kl_importance (the same word)"},
    {"vllm_importance_sampling_mode", "set tis: {mode: the same word, or off} under algorithm"},
    {"vllm_importance_sampling_clip_min", "set tis: {min: the same number} under algorithm"},
    {"vllm_importance_sampling_clip_max", "set tis: {max: the same number} under algorithm"},
    {"vllm_importance_sampling_cap", "set tis: {max: the same number} under algorithm"},
    {"tis_imp_ratio_cap", "set tis: {mode: token_truncate, max: the same number} under algorithm"},
    {"sapo_temperature_pos", "set algorithm.params: {loss: {temperature_pos: NUMBER}}"},
    {"sapo_temperature_neg", "set algorithm.params: {loss: {temperature_neg: NUMBER}}"},
    {"vespo_k_pos", "set algorithm.params: {loss: {k_pos: NUMBER}}"},
    {"vespo_k_neg", "set algorithm.params: {loss: {k_neg: NUMBER}}"},
    {"vespo_lambda_pos", "set algorithm.params: {loss: {lambda_pos: NUMBER}}"},
    {"vespo_lambda_neg", "set algorithm.params: {loss: {lambda_neg: NUMBER}}"},
    {"real_tau", "set algorithm.params: {loss: {tau: NUMBER}}"},
    {"fipo_decay_rate", "set algorithm.params: {loss: {half_life: NUMBER}}"},
    {"clip_cov_ratio", "set algorithm.params: {loss: {share: NUMBER}}"},
    {"kl_cov_ratio", "set algorithm.params: {loss: {share: NUMBER}}"},
    {"use_kl_loss", kKlCoef},
    {"kl_loss_coef", kKlCoef},
    {"disable_kl", "set algorithm.kl_coef: 0 to be without a reference"},
    {"kl_loss_type", kKlEstimator},
    {"kl_penalty", kKlEstimator},
    {"use_kl_in_reward", "set algorithm.kl_place: reward, and algorithm.kl_coef"},
    {"entropy_coeff", "set algorithm.entropy_coef (the same number)"},
    {"ppo_epochs", "set algorithm.epochs_per_rollout (the same number)"},
    {"gamma", "leave it out: a completion has one reward, at its end"},
    {"lam", "leave it out: a completion has one reward, at its end"},
    {"mask_truncated_completions",
     "set verifier.truncated: true is mask, false is incorrect (or judge)"},
    {"overlong_buffer",
     "set algorithm.shaping: [{name: overlong, params: {limit: TOKENS, buffer: TOKENS}}]"},
    {"reward_funcs", kRewardFunctions},
    {"reward_function", kRewardFunctions},
    {"reward_function_path", kRewardFunctions},
    {"reward_model_path", kRewardFunctions},
    {"external_plugins", kRewardFunctions},
    {"compute_score", kRewardFunctions},
    {"reward_weights", "set the weights in rewards: [{verifier: NAME, weight: 1.0}]"},
    {"ref_model_path", "set algorithm.kl_ref (start, or a checkpoint folder)"},
    {"sync_ref_model", "set algorithm.kl_ref: ema and frozen: {ema: {decay: ..., every: ...}}"},
    {"ref_model_mixup_alpha",
     "set frozen: {ema: {decay: 1 - that number}} and algorithm.kl_ref: ema"},
    {"ref_model_sync_steps",
     "set frozen: {ema: {every: ...}} (rollout steps, where TRL counts optimizer steps) and "
     "algorithm.kl_ref: ema"},
    {"use_adaptive_entropy", "set algorithm.adaptive_entropy: {target: ..., delta: ...}"},
    {"entropy_target", "set algorithm.adaptive_entropy: {target: ...} (the same number)"},
    {"entropy_coef_delta", "set algorithm.adaptive_entropy: {delta: ...} (the same number)"},
    {"entropy_coef_min", "set algorithm.adaptive_entropy: {min: ...} (the same number)"},
    {"entropy_coef_max", "set algorithm.adaptive_entropy: {max: ...} (the same number)"},
    {"disable_dropout", "leave it out: there is no dropout"},
};

/// Words whose meaning depends on the sections before them.
constexpr Advice kNestedWords = {
    {"actor.optim.lr", "set optim.lr (the peak learning rate, the same number)"},
    {"actor.optim.weight_decay", "set optim.weight_decay (the same number)"},
    {"actor.optim.strategy", "leave it out: the optimizer is AdamW"},
    {"actor.max_grad_norm", "set optim.max_grad_norm (the same number; 0 = off)"},
    {"actor_rollout_ref.model.path", "set model.path"},
    {"kl_ctrl.kl_coef", "set algorithm.kl_coef (the same number)"},
    {"kl_ctrl.type",
     "leave it out: algorithm.kl_coef is a fixed number unless algorithm.kl_adaptive is set"},
    {"kl_ctrl.target_kl", "set algorithm.kl_adaptive: {target: ..., horizon: ...}"},
    {"kl_ctrl.horizon", "set algorithm.kl_adaptive: {target: ..., horizon: ...}"},
    {"rollout.name", kEngine},
    {"worker.rollout.n", "set rollout.group_size, in completions a prompt (the same number)"},
    {"actor_rollout_ref.rollout.n",
     "set rollout.group_size, in completions a prompt (the same number)"},
    {"worker.rollout.temperature", "set rollout.temperature (the same number)"},
    {"actor_rollout_ref.rollout.temperature", "set rollout.temperature (the same number)"},
    {"worker.rollout.top_p", "set rollout.top_p (the same number)"},
    {"actor_rollout_ref.rollout.top_p", "set rollout.top_p (the same number)"},
    {"custom_reward_function.path", kRewardFunctions},
    {"custom_reward_function.name", kRewardFunctions},
};

/// Sections of which nothing more is known.
constexpr Advice kForeignSections = {
    {"actor_rollout_ref",
     "verl's section of policy, rollout and reference; the sections here are model, rollout, "
     "algorithm, optim and trainer"},
    {"worker",
     "EasyR1's section of actor, rollout and reward; the sections here are model, rollout, "
     "algorithm, optim and verifier"},
    {"critic", "there is no critic: advantages are relative to the group (algorithm.estimator)"},
    {"reward_model", kRewardFunctions},
    {"custom_reward_function", kRewardFunctions},
    {"ray_kwargs", kRanks},
    {"ray_init", kRanks},
};

std::map<std::string, std::string> make_words() {
  std::map<std::string, std::string> words;
  for (const Advice& part :
       {kTrainerWords, kMachineWords, kDataWords, kRolloutWords, kAlgorithmWords, kNestedWords}) {
    words.insert(part.begin(), part.end());
  }
  for (const char* word : {"batch_size",
                           "train_batch_size",
                           "eval_batch_size",
                           "val_batch_size",
                           "global_batch_size",
                           "micro_batch_size",
                           "mini_batch_size",
                           "gen_batch_size",
                           "generation_batch_size",
                           "rollout_batch_size",
                           "per_device_train_batch_size",
                           "per_device_eval_batch_size",
                           "per_gpu_train_batch_size",
                           "train_micro_batch_size_per_gpu",
                           "micro_batch_size_per_device_for_update",
                           "micro_batch_size_per_device_for_experience",
                           "ppo_mini_batch_size",
                           "ppo_micro_batch_size",
                           "ppo_micro_batch_size_per_gpu",
                           "log_prob_micro_batch_size",
                           "log_prob_micro_batch_size_per_gpu",
                           "gradient_accumulation_steps",
                           "steps_per_generation",
                           "num_mini_batches"}) {
    words[word] = kBatchEquation;
  }
  return words;
}

}  // namespace

config::ForeignKeys foreign_keys() {
  return {.words = make_words(),
          .top_level = {kRowColumns.begin(), kRowColumns.end()},
          .sections = {kForeignSections.begin(), kForeignSections.end()}};
}

}  // namespace sgrpo::trainer
