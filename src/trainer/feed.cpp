#include "trainer/feed.h"

#include <algorithm>
#include <cmath>

#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/core/text.h"
#include "trainer/labels.h"

namespace sgrpo::trainer {
namespace {

/// Refuses a row without a column that the estimator reads.
void check_number(const PromptRecord& record, const std::string& column, const RunConfig& config) {
  const core::Json* value = core::find(record.columns, column);
  const auto number = value == nullptr ? std::nullopt : core::number_value(*value);
  if (number && std::isfinite(*number)) return;
  throw core::UserError(core::str(
      "column '",
      column,
      "' is ",
      value == nullptr ? "missing" : core::dump_ascii(*value),
      ", expected a number (algorithm.estimator ",
      config.algorithm.estimator,
      config.data.baseline ? core::str("), or rewards of its id in ", *config.data.baseline)
                           : ")"));
}

/// What a step of this run could not use although the row is well formed: it is found while the row
/// is read, where a bad row is reported and replaced.
std::function<void(const PromptRecord&)> record_check(const RunConfig& config,
                                                      Task task,
                                                      const verifier::VerifierSet& verifiers) {
  if (task == Task::kSft) return {};
  const auto columns = algorithm::make_estimator(config.algorithm)->columns();
  return [&verifiers, sft_steps = config.trainer.sft_steps, columns, config](
             const PromptRecord& record) {
    verifiers.check_name(record.verifier, "'verifier'");
    verifiers.check_row(record.verifier, record.columns);
    check_row_labels(config, record);
    for (const std::string& column : columns) check_number(record, column, config);
    if (sft_steps == 0 || record.injected_text()) return;
    throw core::UserError(core::str(
        "no ground_truth or ground_truth_completion to learn from, which the SFT steps need "
        "(trainer.sft_steps = ",
        sft_steps,
        ")"));
  };
}

}  // namespace

Feed::Feed(const RunConfig& config,
           Task task,
           const data::PromptEncoder& encoder,
           const verifier::VerifierSet& verifiers,
           const data::Sharing& sharing) {
  // Limits of training stay with training: validation has the policy's own encoder.
  data::EncoderSpec spec = with_stream_limits(encoder.spec(), config, task);
  spec.requires_completion = spec.takes_last_turn = task == Task::kSft;
  spec.check_record = record_check(config, task, verifiers);
  data::DataOptions options = config.data;
  options.ground_truth_template = config.injection.gt_template;
  stream_ = std::make_unique<data::PromptStream>(options,
                                                 std::make_shared<data::PromptEncoder>(spec),
                                                 static_cast<uint64_t>(config.seed),
                                                 config.trainer.prompts_per_step,
                                                 sharing);
  if (config.retention.data)
    retention_ = std::make_unique<Retention>(config, task, encoder, sharing);
  if (config.demonstrations.data && task == Task::kPolicyGradient)
    demonstrations_ = std::make_unique<Demonstrations>(config, encoder, sharing);
  if (!config.rollout.replay) return;
  replay_path_ = *config.rollout.replay;
  replay_ = data::load_replay(replay_path_,
                              data::row_options(config.data),
                              [&](const std::string& id) { return stream_->find(id); });
  for (const data::RecordedGroup& group : replay_) {
    check_recorded_labels(config, group);
    if (static_cast<int64_t>(group.completions.size()) == config.rollout.group_size) continue;
    throw core::UserError(core::str(group.source.str(),
                                    ": ",
                                    group.completions.size(),
                                    " completions, but rollout.group_size is ",
                                    config.rollout.group_size));
  }
}

FedBatch Feed::next(int64_t step) {
  FedBatch batch{.prompts = stream_->batch(step), .recordings = {}};
  if (retention_) batch.retention = retention_->next(step);
  if (demonstrations_) batch.demonstrations = demonstrations_->next(step);
  if (is_replay()) batch.recordings = recordings_of(batch.prompts, step);
  return batch;
}

FedBatch Feed::more(int64_t step, const std::vector<int64_t>& owners) {
  return {.prompts = stream_->more(step, owners), .recordings = {}};
}

/// The recordings of one prompt that a step may take: the step's own where the file tells steps
/// apart, else all.
std::vector<const data::RecordedGroup*> Feed::candidates(const PromptRecord& record,
                                                         int64_t step) const {
  std::vector<const data::RecordedGroup*> own, all;
  for (const data::RecordedGroup& group : replay_) {
    if (group.record->id != record.id) continue;
    all.push_back(&group);
    if (group.step == step) own.push_back(&group);
  }
  if (all.empty()) {
    throw core::UserError(core::str(replay_path_,
                                    ": no recorded completions for prompt '",
                                    record.id,
                                    "' of ",
                                    record.source.str()));
  }
  return own.empty() ? all : own;
}

/// The recording of every prompt of a step. A small data set may give a prompt twice: its n-th
/// place takes the n-th recording, and the first again when they are used up.
std::vector<const data::RecordedGroup*> Feed::recordings_of(const PromptBatch& prompts,
                                                            int64_t step) const {
  std::vector<const data::RecordedGroup*> result;
  for (size_t i = 0; i < prompts.prompts.size(); ++i) {
    const auto groups = candidates(*prompts.prompts[i]->record, step);
    result.push_back(groups[static_cast<size_t>(prompts.repeats[i]) % groups.size()]);
  }
  return result;
}

}  // namespace sgrpo::trainer
