// Rows -> micro-batches: the only place that knows how decisions and tokens belong together.
#include <ATen/ATen.h>

#include <atomic>
#include <cmath>

#include "policy/language_policy.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/log.h"
#include "sgrpo/model/token_packer.h"

namespace sgrpo::policy {
namespace {

template <class T>
at::Tensor to_tensor(const std::vector<T>& values, at::ScalarType dtype) {
  return at::tensor(values, at::TensorOptions().dtype(dtype));
}

/// `values`, or nothing if no decision has one.
at::Tensor given(const std::vector<float>& values) {
  const bool any =
      std::any_of(values.begin(), values.end(), [](float v) { return !std::isnan(v); });
  return any ? to_tensor(values, at::kFloat) : at::Tensor();
}

/// Collects rows into one micro-batch.
class BatchBuilder {
 public:
  explicit BatchBuilder(bool share_prefix) : share_prefix_(share_prefix) {}

  bool is_empty() const { return group_.empty(); }
  int64_t num_tokens() const { return packer_.num_rows(); }

  /// Input tokens that adding the row would cost.
  int64_t cost(const TrainRow& row) const {
    const auto own = static_cast<int64_t>(row.own_ids.size());
    return shares(row) ? own : own + row.prompt->num_tokens();
  }

  void add(const TrainRow& row, int64_t index) {
    const EncodedPrompt& prompt = *row.prompt;
    int64_t first_own = 0;
    if (share_prefix_) {
      if (!shares(row)) {
        prompt_ = row.prompt;
        prompt_begin_ = packer_.add_prompt(prompt);
      }
      first_own = packer_.add_branch(prompt, prompt_begin_, row.own_ids);
    } else {
      prompt_begin_ = packer_.add_sequence(prompt, row.own_ids);
      first_own = prompt_begin_ + prompt.num_tokens();
    }
    append_decisions(row, first_own);
    group_.push_back(row.group);
    row_.push_back(index);
  }

  /// Laid out on the CPU, then uploaded as a whole.
  PackedBatch build(const ScoringOptions& scoring, const at::Device& device) const {
    LanguageInputs inputs;
    inputs.tokens = packer_.build();
    inputs.logit_rows = to_tensor(logit_rows_, at::kLong);
    LossBatch loss;
    loss.labels = to_tensor(labels_, at::kLong);
    loss.cu_seqlens = to_tensor(cu_seqlens_, at::kInt);
    loss.sequence_index = to_tensor(sequence_index_, at::kLong);
    loss.weight = to_tensor(weight_, at::kFloat);
    loss.advantages = to_tensor(advantages_, at::kFloat);
    loss.is_injected = to_tensor(is_injected_, at::kByte).to(at::kBool);
    loss.old_logprobs = given(old_);
    loss.ref_logprobs = given(ref_);
    loss.sampler_logprobs = given(sampler_);
    if (has_unit_) loss.unit = to_tensor(unit_, at::kLong);
    loss.group = group_;
    loss.row = row_;
    loss.validate();
    return {.inputs = std::make_shared<const LanguageInputs>(inputs.to(device)),
            .loss = loss.to(device),
            .scoring = scoring};
  }

 private:
  bool shares(const TrainRow& row) const { return share_prefix_ && row.prompt == prompt_; }

  void append_decisions(const TrainRow& row, int64_t first_own) {
    const int64_t prompt_tokens = row.prompt->num_tokens();
    for (const Decision& decision : row.decisions) {
      logit_rows_.push_back(decision.reads < prompt_tokens
                                ? prompt_begin_ + decision.reads
                                : first_own + decision.reads - prompt_tokens);
      labels_.push_back(decision.label);
      sequence_index_.push_back(static_cast<int64_t>(group_.size()));
      weight_.push_back(decision.weight);
      advantages_.push_back(decision.advantage);
      is_injected_.push_back(row.origin == Origin::kGroundTruth);
      old_.push_back(decision.old_logprob);
      ref_.push_back(decision.ref_logprob);
      sampler_.push_back(decision.sampler_logprob);
      unit_.push_back(decision.unit);
      has_unit_ = has_unit_ || decision.unit >= 0;
    }
    cu_seqlens_.push_back(static_cast<int32_t>(labels_.size()));
  }

  bool share_prefix_;
  model::TokenPacker packer_;
  std::shared_ptr<const EncodedPrompt> prompt_;  // laid out last
  int64_t prompt_begin_ = 0;
  std::vector<int64_t> logit_rows_, labels_, sequence_index_, unit_, group_, row_;
  std::vector<int32_t> cu_seqlens_ = {0};
  std::vector<float> weight_, advantages_, old_, ref_, sampler_;
  std::vector<uint8_t> is_injected_;
  bool has_unit_ = false;
};

/// Kernels read what these numbers point at: they are checked here, where the host has them.
void check_row(const TrainRow& row, int64_t vocab_size) {
  SGRPO_CHECK(row.prompt != nullptr, "a row has no prompt");
  const auto tokens = row.prompt->num_tokens() + static_cast<int64_t>(row.own_ids.size());
  for (const Decision& decision : row.decisions) {
    SGRPO_CHECK(decision.reads >= 0 && decision.reads < tokens,
                "a decision reads token ",
                decision.reads,
                ", expected 0..",
                tokens - 1);
    SGRPO_CHECK(decision.label >= 0 && decision.label < vocab_size,
                "a decision's label is ",
                decision.label,
                ", expected 0..",
                vocab_size - 1);
  }
}

/// End of the run of rows of one group that begins at `begin`.
size_t group_end(const std::vector<TrainRow>& rows, size_t begin) {
  size_t end = begin + 1;
  while (rows[begin].group >= 0 && end < rows.size() && rows[end].group == rows[begin].group) ++end;
  return end;
}

/// Input tokens of rows in a micro-batch of their own.
int64_t tokens_of(const std::vector<TrainRow>& rows, size_t begin, size_t end, bool share_prefix) {
  int64_t tokens = 0;
  for (size_t i = begin; i < end; ++i) {
    const bool shares = share_prefix && i > begin && rows[i].prompt == rows[i - 1].prompt;
    tokens +=
        static_cast<int64_t>(rows[i].own_ids.size()) + (shares ? 0 : rows[i].prompt->num_tokens());
  }
  return tokens;
}

void warn_once_beyond(int64_t tokens, const Budget& budget, bool is_group) {
  static std::atomic_flag has_warned;
  if (has_warned.test_and_set()) return;
  core::warn(is_group ? "a group has " : "one completion with its prompt has ",
             tokens,
             " input tokens, more than trainer.micro_batch_tokens = ",
             budget.tokens,
             is_group ? ": this loss needs whole groups, so the pass is larger than its budget"
                      : ": the pass is larger than its budget");
}

}  // namespace

std::vector<PackedBatch> LanguagePolicy::pack(const std::vector<TrainRow>& rows,
                                              const ScoringOptions& scoring,
                                              const Budget& budget) const {
  std::vector<PackedBatch> batches;
  BatchBuilder builder(budget.share_prefix);
  const auto flush = [&] {
    if (!builder.is_empty()) batches.push_back(builder.build(scoring, device()));
    builder = BatchBuilder(budget.share_prefix);
  };
  for (size_t begin = 0; begin < rows.size();) {
    const size_t end = group_end(rows, begin);
    for (size_t i = begin; i < end; ++i) check_row(rows[i], parts_.model->spec().vocab_size);
    const int64_t tokens = tokens_of(rows, begin, end, budget.share_prefix);
    if (builder.num_tokens() + tokens > budget.tokens) flush();
    const bool cuts = tokens > budget.tokens && !budget.whole_groups;
    if (tokens > budget.tokens && budget.whole_groups) warn_once_beyond(tokens, budget, true);
    for (size_t i = begin; i < end; ++i) {
      if (cuts && builder.num_tokens() + builder.cost(rows[i]) > budget.tokens) flush();
      if (cuts && builder.cost(rows[i]) > budget.tokens)
        warn_once_beyond(builder.cost(rows[i]), budget, false);
      builder.add(rows[i], static_cast<int64_t>(i));
    }
    begin = end;
  }
  flush();
  return batches;
}

}  // namespace sgrpo::policy
