// Aliases, loading and the checks that no single section can make.
#include "sgrpo/trainer/run_config.h"

#include <algorithm>

#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/coefficients.h"
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/algorithm/loss.h"
#include "sgrpo/algorithm/modifiers.h"
#include "sgrpo/algorithm/shaping.h"
#include "sgrpo/config/binder.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/text.h"
#include "sgrpo/data/stream.h"
#include "sgrpo/model/lora.h"
#include "sgrpo/trainer/load_config.h"
#include "trainer/demonstrations.h"
#include "trainer/foreign_keys.h"
#include "trainer/frozen.h"
#include "trainer/labels.h"
#include "trainer/retention.h"

namespace sgrpo::trainer {
namespace {

using config::ConfigError;
using core::Json;
using core::str;

config::Aliases make_aliases() {
  config::Aliases aliases;
  aliases.renamed = {
      {"num_generations", "rollout.group_size"},
      {"rollout.num_generations", "rollout.group_size"},
      {"rollout.n", "rollout.group_size"},
      {"max_completion_length", "rollout.max_new_tokens"},
      {"rollout.max_completion_length", "rollout.max_new_tokens"},
      {"max_response_length", "rollout.max_new_tokens"},
      {"data.max_response_length", "rollout.max_new_tokens"},
      {"rollout.max_response_length", "rollout.max_new_tokens"},
      {"beta", "algorithm.kl_coef"},
      {"algorithm.beta", "algorithm.kl_coef"},
      {"epsilon", "algorithm.clip_low"},
      {"algorithm.epsilon", "algorithm.clip_low"},
      {"epsilon_high", "algorithm.clip_high"},
      {"algorithm.epsilon_high", "algorithm.clip_high"},
      {"num_iterations", "algorithm.epochs_per_rollout"},
      {"algorithm.num_iterations", "algorithm.epochs_per_rollout"},
      {"save_steps", "trainer.save_every"},
      {"save_freq", "trainer.save_every"},
      {"trainer.save_steps", "trainer.save_every"},
      {"trainer.save_freq", "trainer.save_every"},
      {"model_name_or_path", "model.path"},
      {"model.model_name_or_path", "model.path"},
  };
  const std::string bound =
      "TRL's epsilon_high is the bound itself there, here the bound is 1 + algorithm.clip_high: "
      "write algorithm.clip_high, that number less 1";
  for (const char* written : {"epsilon_high", "algorithm.epsilon_high"})
    aliases.conflicts.push_back({written, "algorithm.loss", "cispo", bound});
  aliases.foreign = foreign_keys();
  return aliases;
}

/// Adds one "key.sub=value" to the tree, under its real name.
void apply_override(config::Node& root, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw ConfigError(str("command line: ", core::printable(text), ": expected key.sub=value"));
  }
  const std::string path(core::trim(text.substr(0, equals)));
  config::override_value(root, path, text.substr(equals + 1), run_config_aliases());
}

[[noreturn]] void refuse(const std::string& message) { throw ConfigError(message); }

/// A free-form value in a message.
std::string shown(const Json& value) { return core::printable(core::dump_ascii(value)); }

/// Values that the keys allow and this version does not implement.
void check_supported(const RunConfig& config) {
  if (config.distributed.zero_stage > 0) {
    refuse(str("distributed.zero_stage is ",
               config.distributed.zero_stage,
               ": this version shards nothing; expected 0"));
  }
}

/// Refuses a name that is neither a built-in verifier nor one of `instances`.
void check_verifier(const std::string& name,
                    const std::vector<std::string>& instances,
                    const std::string& where) {
  std::vector<std::string> known = verifier::VerifierRegistry::names();
  known.insert(known.end(), instances.begin(), instances.end());
  if (std::find(known.begin(), known.end(), name) != known.end()) return;
  refuse(str(where,
             ": unknown verifier '",
             core::printable(name),
             "'",
             core::did_you_mean(name, known),
             "; known: ",
             core::join(known, ", ")));
}

/// `rewards: [{verifier, weight, on_ground_truth}]` and `verifiers: {name: {name, params}}`.
void check_verifiers(const RunConfig& config) {
  if (!config.verifiers.is_object()) {
    refuse(str("verifiers is ", shown(config.verifiers), ", expected named {name, params}"));
  }
  for (const auto& [name, instance] : config.verifiers.items()) {
    const std::string where = "verifiers." + core::printable(name);
    if (!instance.is_object()) {
      refuse(str(where, " is ", shown(instance), ", expected {name: VERIFIER, params: {...}}"));
    }
    for (const auto& [key, value] : instance.items()) {
      if (key != "name" && key != "params")
        refuse(str(where, ": unknown key '", core::printable(key), "', expected name and params"));
    }
    check_verifier(core::get_string(instance, "name", where), {}, where + ".name");
  }
  if (!config.rewards.is_array()) {
    refuse(str("rewards is ", shown(config.rewards), ", expected a list of {verifier, weight}"));
  }
  std::vector<std::string> instances;
  for (const auto& [name, instance] : config.verifiers.items()) instances.push_back(name);
  for (size_t i = 0; i < config.rewards.size(); ++i) {
    const std::string where = str("rewards[", i, "]");
    const Json& reward = config.rewards[i];
    if (!reward.is_object()) {
      refuse(str(where, " is ", shown(reward), ", expected {verifier: NAME, weight: 1.0}"));
    }
    for (const auto& [key, value] : reward.items()) {
      if (key != "verifier" && key != "weight" && key != "on_ground_truth")
        refuse(str(where,
                   ": unknown key '",
                   core::printable(key),
                   "', expected verifier, weight and on_ground_truth"));
    }
    check_verifier(core::get_string(reward, "verifier", where), instances, where + ".verifier");
    core::get_double_or(reward, "weight", 1.0, where);
    core::get_bool_or(reward, "on_ground_truth", true, where);
  }
}

/// A replay gives each prompt of the stream its recording: none may leave.
void check_filter(const RunConfig& config) {
  const rollout::RolloutOptions& options = config.rollout;
  if (options.filter_groups == rollout::FilterGroups::kOff || !options.replay) return;
  refuse(str("rollout.filter_groups is ",
             core::name_of(options.filter_groups),
             " and rollout.replay is set: recorded groups are taken as they are; expected "
             "filter_groups: off, or no replay"));
}

/// A baseline that nobody reads was meant for another estimator.
void check_baseline(const RunConfig& config) {
  const auto columns = algorithm::make_estimator(config.algorithm)->columns();
  const bool is_read = std::find(columns.begin(), columns.end(), "baseline") != columns.end();
  if (!config.data.baseline || is_read) return;
  refuse(str("data.baseline is set, but algorithm.estimator ",
             config.algorithm.estimator,
             " reads no baseline: expected algorithm.estimator: pvpo, or no data.baseline"));
}

/// Whether retention rows are sampled and judged as prompts of the arm.
bool retains_in_arm(const RunConfig& config) {
  return config.retention.data && config.retention.kind != RetentionKind::kKl &&
         config.retention.loss == RetentionLoss::kArm;
}

/// Retention rows of the arm are judged by `exact`, which names no items.
void check_units(const RunConfig& config) {
  const auto loss = algorithm::LossRegistry::get("loss", config.algorithm.loss)(
      {.algorithm = config.algorithm, .injection = config.injection});
  if (!loss->reads_units() || !retains_in_arm(config)) return;
  refuse(str("algorithm.loss is ",
             config.algorithm.loss,
             ", which compares list items, and retention rows of the arm have none: expected "
             "retention.loss: nll, retention.kind: kl, or another algorithm.loss"));
}

/// The most completions that one optimizer step samples.
int64_t completions_of_update(const RunConfig& config) {
  const int64_t groups =
      config.trainer.prompts_per_step + (retains_in_arm(config) ? retention_rows(config) : 0);
  const int64_t minibatches = config.algorithm.minibatches_per_rollout;
  return (groups + minibatches - 1) / minibatches * config.rollout.group_size;
}

/// A group's mean and deviation need two members.
void check_group(const RunConfig& config) {
  const algorithm::AlgorithmOptions& algorithm = config.algorithm;
  const auto estimator =
      algorithm::EstimatorRegistry::get("estimator", algorithm.estimator)(algorithm);
  if (config.rollout.group_size == 1 && !estimator->allows_single() &&
      config.trainer.sft_steps < config.trainer.steps) {
    refuse(str("rollout.group_size is 1, and estimator ",
               algorithm.estimator,
               " compares the members of a group: every advantage would be 0; expected "
               "group_size of 2 or more, or another algorithm.estimator"));
  }
  if (config.rollout.replay && estimator->baseline_request({})) {
    refuse(str("rollout.replay is set, and estimator ",
               algorithm.estimator,
               " compares with a completion that it samples itself; expected another "
               "algorithm.estimator, or no replay"));
  }
  if (algorithm.minibatches_per_rollout > config.trainer.prompts_per_step) {
    refuse(str("algorithm.minibatches_per_rollout is ",
               algorithm.minibatches_per_rollout,
               ", expected at most trainer.prompts_per_step (",
               config.trainer.prompts_per_step,
               "): a minibatch holds whole groups"));
  }
}

/// Shapers and modifiers: unknown names and parameters.
void check_methods(const RunConfig& config) {
  algorithm::make_shapers(config.algorithm, {.max_new_tokens = config.rollout.max_new_tokens});
  algorithm::make_modifiers(config.algorithm);
  algorithm::check_rewards(config.algorithm, config.injection);
}

void check_optim(const RunConfig& config) {
  if (config.optim.betas.size() != 2) {
    refuse(str("optim.betas has ", config.optim.betas.size(), " entries, expected 2: [b1, b2]"));
  }
}

void check_eval(const eval::EvalOptions& eval) {
  if (eval.k.empty()) refuse("eval.k is empty, expected at least one k, such as [1]");
  for (const int64_t k : eval.k) {
    if (std::count(eval.k.begin(), eval.k.end(), k) > 1)
      refuse(str("eval.k has ", k, " twice, expected each k once"));
  }
  const int64_t largest = *std::max_element(eval.k.begin(), eval.k.end());
  if (largest > eval.samples) {
    refuse(str("eval.k has ",
               largest,
               ", expected at most eval.samples (",
               eval.samples,
               "): pass@k needs k completions of a row"));
  }
  if (eval.samples > 1 && eval.temperature == 0) {
    core::warn("eval.samples is ",
               eval.samples,
               " and eval.temperature is 0: greedy completions of a row are all the same");
  }
}

/// Without validation no checkpoint is ever the best.
void check_keep_best(const RunConfig& config) {
  if (config.trainer.early_stopping_patience && !config.trainer.keep_best) {
    refuse(str("trainer.early_stopping_patience is ",
               *config.trainer.early_stopping_patience,
               ", which counts evaluations without a new best: set trainer.keep_best"));
  }
  if (!config.trainer.keep_best) return;
  if (config.data.eval.empty() || config.eval.every == 0) {
    refuse(str("trainer.keep_best is '",
               core::printable(*config.trainer.keep_best),
               "', which needs validation: set data.eval and eval.every"));
  }
}

void check_pixels(const data::DataOptions& data) {
  if (data.min_pixels && data.max_pixels && *data.min_pixels > *data.max_pixels) {
    refuse(str("data.min_pixels is ",
               *data.min_pixels,
               ", expected at most data.max_pixels (",
               *data.max_pixels,
               ")"));
  }
}

/// RunConfig::validate, whose messages then name the key that the user wrote:
/// "num_generations (rollout.group_size) is 1 ...".
void validate_written(const RunConfig& config, const std::map<std::string, std::string>& written) {
  try {
    config.validate();
  } catch (const core::UserError& error) {
    std::string message = error.what();
    for (const auto& [path, name] : written) {
      const size_t place = message.find(path);
      if (place != std::string::npos)
        message.replace(place, path.size(), str(name, " (", path, ")"));
    }
    throw ConfigError(message);
  }
}

/// A word of TRL's whose default there is another loss.
void tell_difference(const RunConfig& config, const std::map<std::string, std::string>& written) {
  const auto word = written.find("algorithm.kl_coef");
  if (word == written.end() || !config.algorithm.has_kl_loss() || config.algorithm.kl_importance)
    return;
  core::warn(word->second,
             " is read as algorithm.kl_coef: TRL multiplies the KL term by the ratio policy / old "
             "(its use_bias_correction_kl), here algorithm.kl_importance: true does that");
}

}  // namespace

void RunConfig::validate() const {
  check_supported(*this);
  model::read_lora(model.lora);
  if (!data.train.is_null()) data::check_steps(data::train_entries(data.train), trainer.steps);
  check_pixels(data);
  check_verifiers(*this);
  algorithm::validate(injection, rollout.group_size);
  algorithm::check_loss(algorithm, injection);
  check_group(*this);
  check_filter(*this);
  check_baseline(*this);
  check_labels(*this);
  check_demonstrations(*this);
  check_units(*this);
  check_frozen(*this);
  algorithm::check_coefficients(algorithm, completions_of_update(*this));
  check_methods(*this);
  check_optim(*this);
  check_eval(eval);
  check_keep_best(*this);
}

Resume read_resume(const std::string& text) {
  return core::from_name<Resume>(text).value_or(Resume::kCheckpoint);
}

const config::Aliases& run_config_aliases() {
  static const config::Aliases aliases = make_aliases();
  return aliases;
}

RunConfig load_run_config(const std::optional<std::filesystem::path>& yaml,
                          const std::vector<std::string>& overrides) {
  config::Node root;
  root.kind = config::Node::Kind::kMap;
  if (yaml) {
    root = config::load_yaml(*yaml);
    config::apply_aliases(root, run_config_aliases());
  }
  for (const std::string& text : overrides) apply_override(root, text);
  config::apply_aliases(root, run_config_aliases());  // keys inside `rollout={n: 4}`
  config::check_conflicts(root, run_config_aliases());
  RunConfig config;
  config::bind(root, config, run_config_aliases().foreign);
  const auto written = config::written_keys(root);
  validate_written(config, written);
  tell_difference(config, written);
  return config;
}

}  // namespace sgrpo::trainer
