#include "sgrpo/algorithm/packing.h"

#include <ATen/ATen.h>

#include <limits>

#include "sgrpo/model/packed_tokens.h"

namespace sgrpo::algorithm {
namespace {

/// Input tokens of a completion: its last token is predicted, never read.
int64_t input_length(const GroupMember& member) {
  return static_cast<int64_t>(member.completion.token_ids.size()) - 1;
}

std::vector<const GroupMember*> valid_members(const RolloutGroup& group) {
  std::vector<const GroupMember*> members;
  for (const GroupMember& member : group.members) {
    if (member.verdict.is_valid()) members.push_back(&member);
  }
  return members;
}

int64_t num_input_tokens(const RolloutGroup& group, bool share_prefix) {
  const int64_t prompt = group.prompt->num_tokens();
  int64_t tokens = share_prefix ? prompt : 0;
  for (const GroupMember* member : valid_members(group)) {
    tokens += input_length(*member) + (share_prefix ? 0 : prompt);
  }
  return tokens;
}

bool has_gradient(const RolloutGroup& group) {
  const auto members = valid_members(group);
  return std::any_of(members.begin(), members.end(), [](const GroupMember* member) {
    return member->advantage != 0.0;
  });
}

template <class T>
at::Tensor to_tensor(const std::vector<T>& values, at::ScalarType dtype) {
  return at::tensor(values, at::TensorOptions().dtype(dtype));
}

/// Collects whole groups into one micro-batch.
class BatchBuilder {
 public:
  bool is_empty() const { return group_of_sequence_.empty(); }
  int64_t num_tokens() const { return next_row_; }

  void add(const RolloutGroup& group, int64_t group_index, bool share_prefix) {
    const EncodedPrompt& prompt = *group.prompt;
    int64_t begin = 0;
    if (share_prefix) {
      begin = append_prompt(prompt);
      add_segment(begin, begin, begin, begin);
    }
    for (const GroupMember* member : valid_members(group)) {
      if (!share_prefix) begin = append_prompt(prompt);
      const int64_t prompt_end = begin + prompt.num_tokens();
      const int64_t first_row = next_row_;
      append_completion(member->completion, prompt.next_position());
      if (!share_prefix) {
        add_segment(begin, begin, begin, begin);
      } else if (next_row_ > first_row) {
        add_segment(first_row, begin, prompt_end, first_row);
      }
      append_loss_tokens(*member, prompt_end - 1, first_row);
      group_of_sequence_.push_back(group_index);
    }
  }

  TrainBatch build() const {
    model::PackedTokens input;
    input.token_ids = at::cat(token_ids_);
    input.position_ids = at::cat(position_ids_, 1);
    input.pixel_values = pixel_values_.empty() ? no_pixels_ : at::cat(pixel_values_);
    input.grid_thw = grids_.empty() ? at::empty({0, 3}, at::kLong) : at::cat(grids_);
    input.image_rows = to_tensor(image_rows_, at::kLong);
    input.plan = ops::AttentionPlan::make(
        segments_, {.queries = next_row_, .keys = next_row_}, /*causal=*/true);
    TrainBatch batch;
    batch.input = std::make_shared<const model::PackedTokens>(std::move(input));
    batch.logit_rows = to_tensor(logit_rows_, at::kLong);
    batch.labels = to_tensor(labels_, at::kLong);
    batch.sequence_index = to_tensor(sequence_index_, at::kLong);
    batch.cu_seqlens = to_tensor(cu_seqlens_, at::kInt);
    batch.loss_mask = at::ones({batch.labels.size(0)}, at::kBool);
    batch.advantages = to_tensor(advantages_, at::kFloat);
    batch.is_injected = to_tensor(is_injected_, at::kByte).to(at::kBool);
    batch.sampler_logprobs = to_tensor(sampler_logprobs_, at::kFloat);
    batch.group_of_sequence = group_of_sequence_;
    return batch;
  }

 private:
  /// Returns the prompt's first row.
  int64_t append_prompt(const EncodedPrompt& prompt) {
    const int64_t begin = next_row_;
    token_ids_.push_back(prompt.token_ids);
    position_ids_.push_back(prompt.position_ids);
    model::append_image_rows(prompt, begin, image_rows_);
    next_row_ += prompt.num_tokens();
    if (prompt.num_images() > 0) {
      pixel_values_.push_back(prompt.patches.pixel_values);
      grids_.push_back(prompt.patches.grid_thw);
    } else if (prompt.patches.pixel_values.defined()) {
      no_pixels_ = prompt.patches.pixel_values;
    }
    return begin;
  }

  void append_completion(const Completion& completion, int64_t position) {
    const int64_t length = static_cast<int64_t>(completion.token_ids.size()) - 1;
    token_ids_.push_back(to_tensor(completion.token_ids, at::kLong).slice(0, 0, length));
    // All three axes of a text token advance together.
    position_ids_.push_back(
        at::arange(position, position + length, at::kLong).unsqueeze(0).expand({3, length}));
    next_row_ += length;
  }

  /// A segment that ends with the rows appended so far.
  void add_segment(int64_t q_begin, int64_t prefix_begin, int64_t prefix_end, int64_t self_begin) {
    segments_.push_back({q_begin, next_row_, prefix_begin, prefix_end, self_begin, next_row_});
  }

  void append_loss_tokens(const GroupMember& member, int64_t prompt_last_row, int64_t first_row) {
    const Completion& completion = member.completion;
    const auto length = static_cast<int64_t>(completion.token_ids.size());
    const auto sequence = static_cast<int64_t>(group_of_sequence_.size());
    const bool has_logprobs = !completion.sampler_logprobs.empty();
    for (int64_t t = 0; t < length; ++t) {
      const auto index = static_cast<size_t>(t);
      logit_rows_.push_back(t == 0 ? prompt_last_row : first_row + t - 1);
      labels_.push_back(completion.token_ids[index]);
      sequence_index_.push_back(sequence);
      advantages_.push_back(static_cast<float>(member.advantage));
      is_injected_.push_back(completion.origin == Origin::kGroundTruth);
      sampler_logprobs_.push_back(has_logprobs ? completion.sampler_logprobs[index]
                                               : std::numeric_limits<float>::quiet_NaN());
    }
    cu_seqlens_.push_back(static_cast<int32_t>(labels_.size()));
  }

  int64_t next_row_ = 0;
  std::vector<at::Tensor> token_ids_, position_ids_, pixel_values_, grids_;
  at::Tensor no_pixels_ = at::empty({0, 0});
  std::vector<ops::AttentionSegment> segments_;
  std::vector<int64_t> image_rows_, logit_rows_, labels_, sequence_index_, group_of_sequence_;
  std::vector<int32_t> cu_seqlens_ = {0};
  std::vector<float> advantages_, sampler_logprobs_;
  std::vector<uint8_t> is_injected_;
};

/// Denominators of the optimizer step: every token and sequence of valid members, packed or not.
void set_denominators(std::vector<TrainBatch>& batches,
                      const std::vector<const RolloutGroup*>& groups) {
  int64_t tokens = 0, sequences = 0;
  for (const RolloutGroup* group : groups) {
    for (const GroupMember* member : valid_members(*group)) {
      tokens += static_cast<int64_t>(member->completion.token_ids.size());
      ++sequences;
    }
  }
  for (TrainBatch& batch : batches) {
    batch.num_loss_tokens_global = tokens;
    batch.num_sequences_global = sequences;
  }
}

}  // namespace

std::vector<TrainBatch> pack_groups(const std::vector<const RolloutGroup*>& groups,
                                    const PackingOptions& options) {
  std::vector<TrainBatch> batches;
  BatchBuilder builder;
  const auto flush = [&] {
    if (!builder.is_empty()) batches.push_back(builder.build());
    builder = BatchBuilder();
  };
  for (size_t i = 0; i < groups.size(); ++i) {
    const RolloutGroup& group = *groups[i];
    group.validate();
    if (valid_members(group).empty()) continue;
    if (options.skip_zero_advantage && !has_gradient(group)) continue;
    const int64_t tokens = num_input_tokens(group, options.share_prefix);
    if (builder.num_tokens() + tokens > options.micro_batch_tokens) flush();
    builder.add(group, static_cast<int64_t>(i), options.share_prefix);
  }
  flush();
  set_denominators(batches, groups);
  for (const TrainBatch& batch : batches) batch.validate();
  return batches;
}

}  // namespace sgrpo::algorithm
