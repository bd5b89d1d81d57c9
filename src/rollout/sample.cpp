#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "rollout/decode.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/rng.h"
#include "sgrpo/ops/ops.h"

namespace sgrpo::rollout {
namespace {

/// Decodes the groups of a few prompts together.
class BatchDecoder {
 public:
  BatchDecoder(const model::Model& model,
               std::vector<SamplingRequest> requests,
               const SamplingOptions& options)
      : model_(model),
        requests_(std::move(requests)),
        options_(options),
        masked_(at::tensor(options.masked_ids, at::kLong).to(model.device())),
        prefill_(pack_prompts(requests_)) {
    const int64_t prompt_slots = prefill_.prompt_begin.back();
    for (size_t prompt = 0; prompt < requests_.size(); ++prompt) {
      const int64_t next = requests_[prompt].prompt->next_position();
      model.expect_positions(next + options.max_new_tokens);
      for (int64_t sample = 0; sample < options.group_size; ++sample) {
        Row row;
        row.prompt = static_cast<int64_t>(prompt);
        row.sample_index = sample;
        row.first_slot = prompt_slots + static_cast<int64_t>(rows_.size()) * options.max_new_tokens;
        row.next_position = next;
        row.completion.sample_index = sample;
        row.completion.weight_version = options.weight_version;
        rows_.push_back(std::move(row));
      }
    }
    const auto rows = static_cast<int64_t>(rows_.size());
    cache_ = model.make_cache(prompt_slots + rows * options.max_new_tokens);
  }

  std::vector<RolloutGroup> run(const std::function<void(int64_t)>& progress) {
    std::vector<Row*> live = all_rows();
    append_tokens(live, first_logits());
    while (true) {
      if (progress) progress(static_cast<int64_t>(live.size()));
      std::erase_if(live, [](const Row* row) { return !row->is_live; });
      if (live.empty()) break;
      if (core::stop_requested()) throw core::Interrupted("stopped by a signal while sampling");
      const StepInput step = pack_step(live, prefill_);
      const at::Tensor hidden = model_.forward_cached(step.input, step.slots, cache_);
      append_tokens(live, at::linear(hidden, model_.output_weight()));
    }
    return groups();
  }

 private:
  std::vector<Row*> all_rows() {
    std::vector<Row*> result;
    for (Row& row : rows_) result.push_back(&row);
    return result;
  }

  /// Vision and prefill once per prompt; every member of a group starts from the same logits.
  /// [rows, V]
  at::Tensor first_logits() {
    const at::Tensor slots = at::arange(prefill_.prompt_begin.back(), at::kLong);
    const at::Tensor hidden = model_.forward_cached(prefill_.input, slots, cache_);
    const at::Tensor last = hidden.index_select(0, prefill_.last_rows.to(hidden.device()));
    return at::linear(last, model_.output_weight()).repeat_interleave(options_.group_size, 0);
  }

  void append_tokens(const std::vector<Row*>& live, const at::Tensor& logits) {
    const auto rows = static_cast<int64_t>(live.size());
    at::Tensor uniform = at::zeros({rows}, at::kDouble);
    auto draws = uniform.accessor<double, 1>();
    for (int64_t i = 0; i < rows && !options_.greedy; ++i)
      draws[i] = draw(*live[static_cast<size_t>(i)]);
    const auto [ids, logprobs] = ops::sample_tokens(logits,
                                                    uniform,
                                                    masked_,
                                                    options_.temperature,
                                                    options_.top_p,
                                                    options_.top_k,
                                                    options_.greedy);
    const auto id = ids.accessor<int64_t, 1>();
    const auto logprob = logprobs.accessor<float, 1>();
    for (int64_t i = 0; i < rows; ++i) {
      // No token is likely where no number is one: nothing may be sampled from it.
      if (!std::isfinite(logprob[i])) refuse_logits(*live[static_cast<size_t>(i)]);
      append(*live[static_cast<size_t>(i)], id[i], logprob[i]);
    }
  }

  [[noreturn]] void refuse_logits(const Row& row) const {
    throw core::RunError(
        core::str("sampling token ",
                  row.completion.token_ids.size(),
                  " of prompt ",
                  requests_[static_cast<size_t>(row.prompt)].prompt_index,
                  ": the model's logits are not finite; take an earlier checkpoint "
                  "or model.dtype=float32"));
  }

  double draw(const Row& row) const {
    const core::RandomKey key{.seed = options_.seed,
                              .step = static_cast<uint64_t>(options_.step),
                              .prompt_index = static_cast<uint64_t>(
                                  requests_[static_cast<size_t>(row.prompt)].prompt_index),
                              .sample_index = static_cast<uint64_t>(row.sample_index),
                              .purpose = core::Purpose::kSampling};
    return key.uniform(row.completion.token_ids.size());
  }

  void append(Row& row, int64_t id, float logprob) const {
    Completion& completion = row.completion;
    completion.token_ids.push_back(id);
    completion.sampler_logprobs.push_back(logprob);
    const auto& ends = options_.end_token_ids;
    const bool is_end = std::find(ends.begin(), ends.end(), id) != ends.end();
    const auto length = static_cast<int64_t>(completion.token_ids.size());
    if (is_end && !options_.ignore_eos) {
      completion.finish_reason = FinishReason::kStop;
      row.is_live = false;
    } else if (length >= options_.max_new_tokens) {
      completion.finish_reason = FinishReason::kLength;
      row.is_live = false;
    }
  }

  std::vector<RolloutGroup> groups() {
    std::vector<RolloutGroup> result(requests_.size());
    for (size_t prompt = 0; prompt < requests_.size(); ++prompt) {
      result[prompt].prompt = requests_[prompt].prompt;
      result[prompt].prompt_index = requests_[prompt].prompt_index;
    }
    for (Row& row : rows_) {
      GroupMember member;
      member.completion = std::move(row.completion);
      result[static_cast<size_t>(row.prompt)].members.push_back(std::move(member));
    }
    for (const RolloutGroup& group : result) group.validate();
    return result;
  }

  const model::Model& model_;
  std::vector<SamplingRequest> requests_;
  const SamplingOptions& options_;
  at::Tensor masked_;
  PrefillBatch prefill_;
  model::KvCache cache_;
  std::vector<Row> rows_;
};

void check_options(const SamplingOptions& options) {
  SGRPO_CHECK(options.group_size >= 1, "group_size is ", options.group_size, ", expected >= 1");
  SGRPO_CHECK(
      options.max_new_tokens >= 1, "max_new_tokens is ", options.max_new_tokens, ", expected >= 1");
  SGRPO_CHECK(
      options.max_batch_rows >= 1, "max_batch_rows is ", options.max_batch_rows, ", expected >= 1");
}

}  // namespace

std::vector<RolloutGroup> sample_groups(const model::Model& model,
                                        const std::vector<SamplingRequest>& requests,
                                        const SamplingOptions& options,
                                        const std::function<void(int64_t)>& progress) {
  check_options(options);
  const at::NoGradGuard no_grad;
  const auto per_batch =
      static_cast<size_t>(std::max<int64_t>(1, options.max_batch_rows / options.group_size));
  std::vector<RolloutGroup> result;
  for (size_t begin = 0; begin < requests.size(); begin += per_batch) {
    const size_t end = std::min(requests.size(), begin + per_batch);
    BatchDecoder decoder(model,
                         {requests.begin() + static_cast<std::ptrdiff_t>(begin),
                          requests.begin() + static_cast<std::ptrdiff_t>(end)},
                         options);
    for (RolloutGroup& group : decoder.run(progress)) result.push_back(std::move(group));
  }
  return result;
}

std::vector<int64_t> sampling_mask(const model::ModelSpec& spec, int64_t tokenizer_size) {
  std::vector<int64_t> ids;
  for (const int64_t id : {spec.image_token_id, spec.video_token_id}) {
    if (id >= 0 && id < tokenizer_size) ids.push_back(id);
  }
  for (int64_t id = tokenizer_size; id < spec.vocab_size; ++id) ids.push_back(id);
  return ids;
}

Scores score(const model::Model& model,
             const TrainBatch& batch,
             const at::Tensor& masked_ids,
             double temperature) {
  batch.validate();
  const at::Tensor hidden = model.forward(batch.input);
  const at::Tensor rows = hidden.index_select(0, batch.logit_rows.to(hidden.device()));
  auto [logprobs, entropy] = ops::linear_logprob(rows,
                                                 model.output_weight(),
                                                 batch.labels.to(hidden.device()),
                                                 masked_ids.to(hidden.device()),
                                                 temperature);
  return {.logprobs = logprobs, .entropy = entropy};
}

}  // namespace sgrpo::rollout
