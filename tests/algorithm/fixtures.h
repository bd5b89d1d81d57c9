// Small groups and micro-batches for the tests of this room.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "reference/grpo.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/loss.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/text.h"
#include "sgrpo/types/rollout_group.h"

namespace sgrpo::algorithm {

/// A text prompt of `length` tokens 100, 101, ... with positions 0, 1, ...
inline std::shared_ptr<EncodedPrompt> make_prompt(int64_t length = 3,
                                                  std::vector<int64_t> ground_truth = {7, 2}) {
  auto result = std::make_shared<EncodedPrompt>();
  EncodedPrompt& prompt = *result;
  prompt.token_ids = at::arange(100, 100 + length, at::kLong);
  prompt.position_ids = at::arange(length, at::kLong).unsqueeze(0).expand({3, length}).clone();
  prompt.patches.pixel_values = at::empty({0, 12});
  prompt.patches.grid_thw = at::empty({0, 3}, at::kLong);
  prompt.ground_truth_ids = std::move(ground_truth);
  auto record = std::make_shared<PromptRecord>();
  record->ground_truth = "short";
  record->ground_truth_completion = "the long form";
  prompt.record = record;
  return result;
}

/// A member of `length` tokens; a reward of 1 is correct, any other incorrect.
inline GroupMember make_member(double reward, int64_t length = 2, double sum_logprob = -1.0) {
  GroupMember member;
  for (int64_t t = 0; t < length; ++t) member.completion.token_ids.push_back(10 + t);
  member.completion.sampler_logprobs.assign(static_cast<size_t>(length), 0.0f);
  member.completion.sampler_logprobs.front() = static_cast<float>(sum_logprob);
  member.verdict.reward = reward;
  member.verdict.status = reward == 1.0 ? VerdictStatus::kCorrect : VerdictStatus::kIncorrect;
  return member;
}

inline RolloutGroup make_group(std::shared_ptr<const EncodedPrompt> prompt,
                               const std::vector<double>& rewards,
                               int64_t prompt_index = 0) {
  RolloutGroup group;
  group.prompt = std::move(prompt);
  group.prompt_index = prompt_index;
  for (const double reward : rewards) {
    group.members.push_back(make_member(reward));
    group.members.back().completion.sample_index = group.size() - 1;
  }
  return group;
}

inline std::vector<double> advantages_of(const RolloutGroup& group) {
  std::vector<double> values;
  for (const GroupMember& member : group.members) values.push_back(member.advantage());
  return values;
}

inline std::vector<double> rewards_of(const RolloutGroup& group) {
  std::vector<double> values;
  for (const GroupMember& member : group.members) values.push_back(member.reward());
  return values;
}

/// Advantages as a step of one rank makes them, weighed failures included.
inline std::vector<RolloutGroup> estimate(std::vector<RolloutGroup> groups,
                                          const AlgorithmOptions& options,
                                          const InjectionOptions& injection) {
  const auto one_rank = [](std::vector<double> sums) { return sums; };
  return weigh_failures(compute_advantages(std::move(groups), options, injection, one_rank),
                        injection);
}

/// What `body` throws; empty if nothing.
inline std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

/// An entry of algorithm.shaping or algorithm.modifiers.
inline core::Json method(const std::string& name, const core::Json& params = core::Json::object()) {
  core::Json entry = core::Json::object();
  entry["name"] = name;
  entry["params"] = params;
  return entry;
}

/// Rows of tests/golden/algorithm/<name>.
inline std::vector<core::Json> golden_rows(const std::string& name) {
  const auto path = std::filesystem::path(SGRPO_TESTS_DIR) / "golden/algorithm" / name;
  std::vector<core::Json> rows;
  for (const std::string& line : core::split(core::read_file(path), '\n')) {
    if (!line.empty()) rows.push_back(core::parse_json(line, name));
  }
  return rows;
}

/// The loss side of a micro-batch in f64 (no model input), and the leaf it is a function of.
struct LossCase {
  at::Tensor policy;   // [M] f64 leaf
  at::Tensor entropy;  // [M] f64
  LossBatch batch;
  StepContext context;  // denominators of this micro-batch alone
};

inline LossCase make_loss_case(const std::vector<reference::Sequence>& sequences) {
  std::vector<double> policy, old, ref, entropy, advantages;
  std::vector<int64_t> sequence_index, injected;
  std::vector<int32_t> cu_seqlens = {0};
  LossCase result;
  for (size_t b = 0; b < sequences.size(); ++b) {
    const reference::Sequence& sequence = sequences[b];
    policy.insert(policy.end(), sequence.policy.begin(), sequence.policy.end());
    old.insert(old.end(), sequence.old.begin(), sequence.old.end());
    ref.insert(ref.end(), sequence.ref.begin(), sequence.ref.end());
    entropy.insert(entropy.end(), sequence.entropy.begin(), sequence.entropy.end());
    for (size_t t = 0; t < sequence.policy.size(); ++t) {
      advantages.push_back(sequence.advantage);
      sequence_index.push_back(static_cast<int64_t>(b));
      injected.push_back(sequence.is_injected);
    }
    cu_seqlens.push_back(static_cast<int32_t>(policy.size()));
    result.batch.group.push_back(0);
    result.batch.row.push_back(static_cast<int64_t>(b));
  }
  const auto tokens = static_cast<int64_t>(policy.size());
  const auto f64 = at::TensorOptions().dtype(at::kDouble);
  result.policy = at::tensor(policy, f64).requires_grad_();
  result.entropy = at::tensor(entropy, f64);
  LossBatch& batch = result.batch;
  batch.labels = at::zeros({tokens}, at::kLong);
  batch.sequence_index = at::tensor(sequence_index, at::TensorOptions().dtype(at::kLong));
  batch.cu_seqlens = at::tensor(cu_seqlens, at::TensorOptions().dtype(at::kInt));
  batch.weight = at::ones({tokens});
  batch.advantages = at::tensor(advantages, f64);
  batch.is_injected = at::tensor(injected, at::TensorOptions().dtype(at::kLong)).to(at::kBool);
  batch.old_logprobs = at::tensor(old, f64);
  if (!ref.empty()) batch.ref_logprobs = at::tensor(ref, f64);
  result.context.denominators = {
      .decisions = tokens, .sequences = static_cast<int64_t>(sequences.size()), .groups = 1};
  return result;
}

/// The case's context with what the loss must know of the whole step, which is this micro-batch.
inline StepContext context_of(const LossCase& loss_case, const LossSettings& settings) {
  StepContext context = loss_case.context;
  if (statistics_columns(settings).empty()) return context;
  const auto tables = batch_statistics({.logprobs = loss_case.policy, .entropy = loss_case.entropy},
                                       loss_case.batch,
                                       settings,
                                       context);
  add_statistics(tables, settings, at::kCPU, context);
  return context;
}

inline LossResult loss_of(const LossCase& loss_case, const LossSettings& settings) {
  return batch_loss({.logprobs = loss_case.policy, .entropy = loss_case.entropy},
                    loss_case.batch,
                    settings,
                    context_of(loss_case, settings));
}

/// Gradient of `result` with respect to the case's log-probs.
inline at::Tensor gradient_of(const LossResult& result, const LossCase& loss_case) {
  loss_case.policy.mutable_grad() = at::Tensor();
  result.loss.backward();
  return loss_case.policy.grad().clone();
}

inline std::vector<double> gradient_values(const LossCase& loss_case,
                                           const LossSettings& settings) {
  const at::Tensor gradient = gradient_of(loss_of(loss_case, settings), loss_case);
  return {gradient.const_data_ptr<double>(), gradient.const_data_ptr<double>() + gradient.numel()};
}

/// One sequence whose token ratios are `ratios`.
inline reference::Sequence with_ratios(const std::vector<double>& ratios, double advantage) {
  reference::Sequence sequence;
  sequence.advantage = advantage;
  for (const double ratio : ratios) {
    sequence.old.push_back(-2.0);
    sequence.policy.push_back(-2.0 + std::log(ratio));
    sequence.entropy.push_back(0.0);
  }
  return sequence;
}

/// `loss` with its own parameters, and the mean over sequences of token means.
inline LossSettings settings_for(const std::string& loss,
                                 const core::Json& params = core::Json::object()) {
  LossSettings settings;
  settings.algorithm.loss = loss;
  settings.algorithm.aggregation = Aggregation::kSeqMeanTokenMean;
  settings.algorithm.params["loss"] = params;
  return settings;
}

inline double stat(const LossResult& result, LossStats::Index index) {
  return result.stats.sums[index].item<double>();
}

}  // namespace sgrpo::algorithm
