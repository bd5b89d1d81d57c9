#include <ATen/ATen.h>

#include <algorithm>

#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/sha256.h"
#include "sgrpo/core/text.h"
#include "sgrpo/distributed/connect.h"
#include "sgrpo/policy/placement.h"
#include "sgrpo/trainer/evaluation.h"
#include "trainer/ending.h"
#include "trainer/frozen.h"
#include "trainer/identity.h"
#include "trainer/retention.h"
#include "trainer/stages.h"
#include "trainer/together.h"

namespace sgrpo::trainer {
namespace {

/// The run's policy with everything that learns from it.
std::unique_ptr<learner::Learner> open_learner(const RunConfig& config,
                                               Task task,
                                               distributed::Communicator& communicator) {
  model::ModelOptions options = config.model;
  options.seed = static_cast<uint64_t>(config.seed);
  policy::EncoderLimits limits = eval_limits(config);
  limits.takes_last_turn = task == Task::kSft;  // of validation rows, too
  auto policy = policy::open_trainable(config.model.path, options, limits);
  std::unique_ptr<policy::Policy> reference;
  if (config.needs_reference() && !config.refers_to_frozen()) {
    reference = config.algorithm.refers_to_start()
                    ? policy->frozen_copy()
                    : policy::open_reference(
                          config.algorithm.kl_ref, options, *policy, config.rollout.sampling_mask);
  }
  auto learner =
      std::make_unique<learner::Learner>(std::move(policy),
                                         config.optim,
                                         policy::Budget{.tokens = config.trainer.micro_batch_tokens,
                                                        .share_prefix = config.model.share_prefix},
                                         communicator);
  learner->set_reference(std::move(reference));
  open_frozen(config, *learner);
  return learner;
}

/// A bad row of a split is left out by each validation; a split that could never be judged ends the
/// run before its first step instead of at its first validation.
void check_split(const State& state, const data::EvalSet& split) {
  std::string first;
  for (const auto& record : split.records) {
    try {
      return eval::check_row_verifier(*state.verifiers, *record);
    } catch (const data::RecordError& error) {
      if (first.empty()) first = error.what();
    }
  }
  throw core::UserError(core::str("data.eval.",
                                  split.name,
                                  ": no row of ",
                                  split.records.front()->source.file,
                                  " can be judged: ",
                                  first));
}

/// Which metrics validation gives follows from the splits: a misspelt one must not cost a run.
void check_best_metric(const State& state) {
  if (!state.config.trainer.keep_best) return;
  const std::string& metric = *state.config.trainer.keep_best;
  const std::vector<std::string> names = eval::metric_names(state.eval_sets, state.config.eval);
  if (std::find(names.begin(), names.end(), metric) != names.end()) return;
  throw core::UserError(core::str("trainer.keep_best is '",
                                  core::printable(metric),
                                  "', which validation does not give",
                                  core::did_you_mean(metric, names),
                                  "; it gives ",
                                  core::join(names, ", ")));
}

void open_data(State& state) {
  const RunConfig& config = state.config;
  auto& ranks = *state.communicator;
  state.feed = std::make_unique<Feed>(config,
                                      state.task,
                                      *state.learner->policy().encoder(),
                                      *state.verifiers,
                                      data::Sharing{.rank = ranks.rank(),
                                                    .size = ranks.size(),
                                                    .exchange = [&ranks](const std::string& bytes) {
                                                      return ranks.all_gather_bytes(bytes);
                                                    }});
  for (const auto& [name, path] : config.data.eval) {
    state.eval_sets.push_back(data::load_eval_set(name, path, config.data));
    check_split(state, state.eval_sets.back());
  }
  check_best_metric(state);
}

void open_run(State& state, bool is_again) {
  state.memory = Memory(state.config.memory.reward_window);
  together(*state.communicator, [&] {
    state.learner = open_learner(state.config, state.task, *state.communicator);
    open_data(state);
  });
  open_folder(state, is_again);
}

void check_backend(Backend backend, const at::Device& device, int64_t ranks) {
  if (backend == Backend::kAuto || ranks == 1) return;
  const Backend wanted = device.is_cpu() ? Backend::kGloo : Backend::kNccl;
  if (backend == wanted) return;
  throw core::UserError(core::str("distributed.backend is ",
                                  core::name_of(backend),
                                  ", but there are ",
                                  ranks,
                                  " ranks on ",
                                  device.is_cpu() ? "CPUs" : "GPUs",
                                  ": expected auto or ",
                                  core::name_of(wanted)));
}

/// The other ranks, met before anything large is opened: settings that differ cost nothing then.
std::unique_ptr<distributed::Communicator> meet(const RunConfig& config,
                                                Task task,
                                                const distributed::Environment& environment) {
  if (environment.size == 1) return distributed::make_local();
  distributed::Meeting meeting{.folder = config.output_dir,
                               .settings = make_identity(config, task, /*contents=*/{}),
                               .timeout_s = config.distributed.timeout_s};
  meeting.settings["the sgrpo binary"] = core::sha256_hex(core::read_file("/proc/self/exe"));
  const at::Device device = policy::resolve_placement(config.model).device;
  check_backend(config.distributed.backend, device, environment.size);
  if (!device.is_cpu()) meeting.device = device;
  return distributed::connect(environment, meeting);
}

void check_ranks(const RunConfig& config, const distributed::Environment& environment) {
  if (environment.size <= config.trainer.prompts_per_step) return;
  throw core::UserError(core::str("trainer.prompts_per_step is ",
                                  config.trainer.prompts_per_step,
                                  ", but there are ",
                                  environment.size,
                                  " ranks: expected a prompt or more for each"));
}

}  // namespace

int64_t ground_truth_limit(const RunConfig& config, Task task) {
  // What is injected or learned must fit whole: it is refused at load, never truncated.
  const bool is_used =
      config.injection.when != algorithm::InjectWhen::kNever || config.trainer.sft_steps > 0;
  return task == Task::kPolicyGradient && is_used ? config.rollout.max_new_tokens : 0;
}

data::EncoderSpec with_stream_limits(data::EncoderSpec spec, const RunConfig& config, Task task) {
  spec.max_prompt_tokens = std::min(spec.max_prompt_tokens, config.data.max_prompt_tokens);
  spec.max_ground_truth_tokens = ground_truth_limit(config, task);
  return spec;
}

std::string batch_equation(const RunConfig& config, Task task, int64_t ranks) {
  const bool is_sft = task == Task::kSft;
  const int64_t group_size = is_sft ? 1 : config.rollout.group_size;
  const int64_t minibatches = is_sft ? 1 : config.algorithm.minibatches_per_rollout;
  const int64_t updates = is_sft ? 1 : config.algorithm.epochs_per_rollout * minibatches;
  const int64_t completions = config.trainer.prompts_per_step * group_size;
  const int64_t retained = retention_rows(config);
  const int64_t demonstrated = is_sft ? 0 : demonstration_rows(config);
  return core::str(
      "batch: ",
      config.trainer.prompts_per_step,
      " prompts x ",
      group_size,
      group_size == 1 ? " completion = " : " completions = ",
      completions,
      " completions a step, ",
      ranks == 1 ? core::str(completions, " per rank (1 rank), ")
                 : core::str("about ", completions / ranks, " per rank (", ranks, " ranks), "),
      completions / minibatches,
      " per optimizer step (",
      updates,
      updates == 1 ? " update" : " updates",
      is_sft ? " a step)" : " a rollout)",
      retained == 0 ? "" : core::str("; beside them ", retained, " retention rows a step"),
      demonstrated == 0 ? "" : core::str("; beside them ", demonstrated, " demonstrations a step"));
}

Trainer::Trainer(RunConfig config, Task task, std::string allowed_changes)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.config = std::move(config);
  state.task = task;
  state.allowed_changes = std::move(allowed_changes);
  state.config.validate();
  const distributed::Environment environment = distributed::read_environment();
  check_ranks(state.config, environment);
  if (task == Task::kPolicyGradient) {
    algorithm::validate(
        state.config.algorithm, state.config.injection, state.config.rollout.group_size);
  }
  honour_end_of_job(state.config.trainer.stop_before_end_s);
  state.verifiers = std::make_unique<verifier::VerifierSet>(
      state.config.verifier, state.config.verifiers, state.config.rewards);
  check_output_folder(state.config.output_dir);
  state.starts = std::make_unique<Starts>();
  if (environment.rank == 0) {
    // Before the minutes that a large model takes: a second start on the folder ends at once.
    state.lock = std::make_unique<checkpoint::RunLock>(state.config.output_dir);
    state.starts = std::make_unique<Starts>(state.config.output_dir);
  }
  set_deterministic(state.config.trainer.deterministic);
  try {
    state.communicator = meet(state.config, task, environment);
    open_run(state, /*is_again=*/false);
    together(*state.communicator, [&] { check_space(state); });
  } catch (...) {
    tell_others(*state.communicator);
    forget_orderly_end(*state.starts);
    throw;
  }
}

void open_again(State& state) {
  state.learner.reset();
  state.feed.reset();
  state.eval_sets.clear();
  state.metrics.reset();
  state.completions.reset();
  state.progress = {};
  state.saved_step = -1;
  state.is_save_owed = false;
  open_run(state, /*is_again=*/true);
}

}  // namespace sgrpo::trainer
