// The whole configuration: what a YAML file and the command line may set.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "sgrpo/algorithm/options.h"
#include "sgrpo/config/fields.h"
#include "sgrpo/core/names.h"
#include "sgrpo/data/options.h"
#include "sgrpo/eval/options.h"
#include "sgrpo/model/options.h"
#include "sgrpo/optim/options.h"
#include "sgrpo/rollout/options.h"
#include "sgrpo/verifier/options.h"

namespace sgrpo::trainer {

/// What a start does with the checkpoints that it finds. The last has no name: it is the folder of
/// a checkpoint to go on from.
enum class Resume { kAuto, kNever, kCheckpoint };
constexpr auto names_of(Resume) { return std::array{"auto", "never"}; }

/// `trainer.resume`, the only place that reads its text.
Resume read_resume(const std::string& text);

struct MemoryOptions {
  int64_t reward_window = 0;

  template <class V>
  void visit_fields(V& visit) {
    visit("reward_window",
          reward_window,
          config::FieldInfo{.help = "mean rewards of its last groups kept per prompt id; 0 = none",
                            .unit = "groups",
                            .low = 0,
                            .high = 1e6});
  }
};

struct TrainerOptions {
  int64_t steps = 100;
  int64_t prompts_per_step = 32;
  int64_t micro_batch_tokens = 8192;
  int64_t sft_steps = 0;
  int64_t save_every = 0;
  double save_every_minutes = 15.0;
  int64_t keep_last = 2;
  std::optional<std::string> keep_best;
  std::optional<int64_t> early_stopping_patience;
  double stop_before_end_s = 120.0;
  std::string resume = "auto";
  bool deterministic = true;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("steps",
          steps,
          FieldInfo{.help = "rollouts, each with all its updates",
                    .unit = "steps",
                    .low = 0,
                    .high = 1e12});
    visit("prompts_per_step",
          prompts_per_step,
          FieldInfo{.help = "prompts of one step, over all ranks",
                    .unit = "prompts",
                    .low = 1,
                    .high = 1e7});
    visit("micro_batch_tokens",
          micro_batch_tokens,
          FieldInfo{.help = "token budget of one forward and backward pass",
                    .unit = "tokens",
                    .low = 1,
                    .high = 1e9});
    visit("sft_steps",
          sft_steps,
          FieldInfo{.help = "the first steps take the SFT loss on the ground truth",
                    .unit = "steps",
                    .low = 0,
                    .high = 1e12});
    visit("save_every",
          save_every,
          FieldInfo{.help = "checkpoint after every so many steps; 0 = by time, and the last",
                    .unit = "steps",
                    .low = 0,
                    .high = 1e12});
    visit(
        "save_every_minutes",
        save_every_minutes,
        FieldInfo{.help = "checkpoint behind the first step that ends so long after the last one; "
                          "0 = never",
                  .unit = "min",
                  .low = 0,
                  .high = 1e9});
    visit("keep_last",
          keep_last,
          FieldInfo{.help = "checkpoints kept; 0 = all", .low = 0, .high = 1e6});
    visit("keep_best",
          keep_best,
          FieldInfo{.help = "metric whose best checkpoint is kept and linked as best"});
    visit("early_stopping_patience",
          early_stopping_patience,
          FieldInfo{.help = "so many evaluations in a row without a new best end the run; null = "
                            "never",
                    .unit = "evaluations",
                    .low = 1,
                    .high = 1e9});
    visit("stop_before_end_s",
          stop_before_end_s,
          FieldInfo{.help = "saves and stops so long before SLURM_JOB_END_TIME",
                    .unit = "s",
                    .low = 0,
                    .high = 1e6});
    visit(
        "resume",
        resume,
        FieldInfo{.help = "auto continues a run found in output_dir, never refuses one; the folder "
                          "of a checkpoint goes on from it"});
    visit("deterministic", deterministic, FieldInfo{.help = "same seed, same bits"});
  }
};

/// What a retention row is to be answered with: the start model's own greedy answer, the row's, or
/// nothing (the policy's own samples are held to the reference).
enum class RetentionKind { kSelf, kRows, kKl };
constexpr auto names_of(RetentionKind) { return std::array{"self", "rows", "kl"}; }
/// Whether retention rows are prompts of the arm, or an NLL part beside it.
enum class RetentionLoss { kArm, kNll };
constexpr auto names_of(RetentionLoss) { return std::array{"arm", "nll"}; }

struct RetentionOptions {
  std::optional<std::string> data;
  double weight = 0.2;
  RetentionKind kind = RetentionKind::kSelf;
  RetentionLoss loss = RetentionLoss::kArm;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("data",
          data,
          FieldInfo{.help = "rows that keep what the start model knew, beside each step's prompts",
                    .is_path = true});
    visit("weight",
          weight,
          FieldInfo{.help = "their share w: w / (1 - w) * trainer.prompts_per_step rows a step",
                    .low = 1e-6,
                    .high = 0.99});
    visit("kind",
          kind,
          FieldInfo{.help = "answered as the start model does, as the rows say, or held to "
                            "algorithm.kl_ref"});
    visit("loss",
          loss,
          FieldInfo{.help = "arm: prompts like the others, judged by exact; nll: (1 - w) arm + w "
                            "NLL"});
  }
};

/// Rows with answers that a loss learns from beside the rollouts (algorithm.loss chord).
struct DemonstrationOptions {
  std::optional<std::string> data;
  std::optional<int64_t> prompts_per_step;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("data",
          data,
          FieldInfo{.help = "rows with answers, a stream of its own beside each step's rollouts",
                    .is_path = true});
    visit("prompts_per_step",
          prompts_per_step,
          FieldInfo{.help = "its rows a step; null = trainer.prompts_per_step",
                    .unit = "rows",
                    .low = 1,
                    .high = 1e7});
  }
};

enum class Backend { kAuto, kLocal, kGloo, kNccl };
constexpr auto names_of(Backend) { return std::array{"auto", "local", "gloo", "nccl"}; }

struct DistributedOptions {
  Backend backend = Backend::kAuto;
  double timeout_s = 120;
  int64_t zero_stage = 0;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("backend",
          backend,
          FieldInfo{.help = "collectives of gradients: auto is nccl on GPUs, gloo on CPUs, and "
                            "local where there is one rank"});
    visit("timeout_s",
          timeout_s,
          FieldInfo{.help = "a rank that makes no progress for so long, while it waits for no "
                            "other, hangs, and the run ends naming it",
                    .unit = "s",
                    .low = 1,
                    .high = 1e6});
    visit("zero_stage",
          zero_stage,
          FieldInfo{.help = "what is sharded over ranks", .low = 0, .high = 3});
  }
};

/// Everything. Sections are visited with `visit.section(name, member)`.
struct RunConfig {
  int64_t seed = 0;
  std::string output_dir;
  model::ModelOptions model;
  data::DataOptions data;
  rollout::RolloutOptions rollout;
  verifier::VerifierOptions verifier;
  /// Named instances: {name: {name: keywords, params: {...}}}
  core::Json verifiers = core::Json::object();
  core::Json rewards =
      core::Json::array();  // [{verifier: name, weight: 1.0, on_ground_truth: true}]
  algorithm::InjectionOptions injection;
  algorithm::AlgorithmOptions algorithm;
  RetentionOptions retention;
  DemonstrationOptions demonstrations;
  core::Json frozen = core::Json::object();  // {name: {from: start, decay: null, every: 1}}
  MemoryOptions memory;
  optim::OptimOptions optim;
  TrainerOptions trainer;
  eval::EvalOptions eval;
  DistributedOptions distributed;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("seed",
          seed,
          FieldInfo{.help = "of every random number in the run", .low = 0, .high = 9e15});
    visit("output_dir",
          output_dir,
          FieldInfo{.help = "folder of the run", .required = true, .is_path = true});
    visit.section("model", model);
    visit.section("data", data);
    visit.section("rollout", rollout);
    visit.section("verifier", verifier);
    visit("verifiers", verifiers, FieldInfo{.help = "named verifier instances: {name, params}"});
    visit("rewards",
          rewards,
          FieldInfo{.help = "several rewards: [{verifier, weight, on_ground_truth}]; empty = the "
                            "row's verifier"});
    visit.section("injection", injection);
    visit.section("algorithm", algorithm);
    visit.section("retention", retention);
    visit.section("demonstrations", demonstrations);
    visit("frozen",
          frozen,
          FieldInfo{.help = "policies that score and do not learn, by name: {from: start or a "
                            "folder, decay: null = it never moves, every: steps}"});
    visit.section("memory", memory);
    visit.section("optim", optim);
    visit.section("trainer", trainer);
    visit.section("eval", eval);
    visit.section("distributed", distributed);
  }

  /// Whether a reference policy is kept: for a KL term, or for retention rows.
  bool needs_reference() const {
    return algorithm.kl_coef > 0.0 || (retention.data && retention.kind == RetentionKind::kKl);
  }

  /// Whether that is a policy of `frozen`.
  bool refers_to_frozen() const { return frozen.is_object() && frozen.contains(algorithm.kl_ref); }

  /// Checks across sections. Throws config::ConfigError naming the key path, what was found and
  /// what is expected.
  void validate() const;
};

}  // namespace sgrpo::trainer
