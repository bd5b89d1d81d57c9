// The groups of a few requests while they are being decoded together.
#pragma once

#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/ops/attention_plan.h"
#include "sgrpo/rollout/rollout.h"

namespace sgrpo::rollout {

/// Decodes the groups of a few prompts together: prefill when it is made, then steps on demand.
class Decoder {
 public:
  /// `first` is the index of `requests[0]` among the caller's requests.
  Decoder(const model::Model& model,
          std::vector<SamplingRequest> requests,
          size_t first,
          const DecodeOptions& options);

  bool is_done() const { return live_.empty(); }
  /// Decodes at most `steps` tokens of every live completion; groups that end go to `finished`.
  void advance(int64_t steps, const GroupSink& finished);

 private:
  /// One completion being decoded.
  struct Row {
    size_t request = 0;
    int64_t sample_index = 0;   // inside its group
    int64_t first_slot = 0;     // of its own keys and values
    int64_t next_position = 0;  // of its first drawn token
    Completion completion;
    std::vector<float> entropies;  // [L] nats; 0 for forced tokens
    bool is_live = true;
  };
  /// What rows of equal sampling options share in one call of the sampling operator.
  struct Draw {
    std::vector<int64_t> rows;  // among the live ones
    const SamplingOptions* options = nullptr;
  };

  void make_rows(int64_t prompt_slots);
  at::Tensor first_logits();
  at::Tensor next_logits();
  void plan_step();
  at::Tensor upload(const at::Tensor& host) const;
  void append_tokens(const at::Tensor& logits);
  void append_drawn(const Draw& draw, const at::Tensor& logits);
  void append(Row& row, int64_t id, float logprob, float entropy);
  void end(Row& row, FinishReason reason);
  void cut_at_stop_text(Row& row);
  int64_t num_drawn(const Row& row) const;
  double uniform_of(const Row& row) const;
  void hand_over(const GroupSink& finished);
  [[noreturn]] void refuse_logits(const Row& row) const;

  const model::Model& model_;
  std::vector<SamplingRequest> requests_;
  size_t first_;
  FindStop find_stop_;
  at::Tensor masked_, no_mask_;
  std::vector<int64_t> prompt_begin_;  // [P+1] slots of each prompt in the cache
  model::KvCache cache_;
  std::optional<ops::DecodePlan> plan_;
  std::vector<Row> rows_;
  std::vector<Row*> live_;
  std::vector<size_t> open_;  // live completions per request
  bool is_prefilled_ = false;
  bool is_planned_ = false;  // the plan is of today's live rows
};

}  // namespace sgrpo::rollout
