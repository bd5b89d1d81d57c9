// The loss of a split's own completions: what supervised training lowers.
#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "sgrpo/algorithm/packing.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/rollout/rollout.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

/// Rows encoded and scored at a time: images of a large split never live in memory together.
constexpr size_t kRowsAtOnce = 64;

/// The rows [begin, end) that have something to learn from and can be read; validation itself names
/// the others.
PromptBatch encode_rows(const data::PromptEncoder& encoder,
                        const data::EvalSet& split,
                        size_t begin,
                        size_t end) {
  PromptBatch batch;
  for (size_t i = begin; i < end; ++i) {
    try {
      batch.prompts.push_back(encoder.encode(split.records[i]));
      batch.prompt_index.push_back(static_cast<int64_t>(i));
    } catch (const data::RecordError&) {
      continue;
    }
  }
  return batch;
}

/// A sum over tokens.
struct TokenSum {
  double nll = 0.0;
  int64_t tokens = 0;
};

void add_rows(const Run& run, const PromptBatch& rows, TokenSum& sum) {
  const at::NoGradGuard no_grad;
  const std::vector<RolloutGroup> groups = ground_truth_groups(run, rows);
  std::vector<const RolloutGroup*> pointers;
  for (const RolloutGroup& group : groups) pointers.push_back(&group);
  const algorithm::PackingOptions packing{
      .micro_batch_tokens = run.config.trainer.micro_batch_tokens,
      .share_prefix = run.config.model.share_prefix};
  for (const TrainBatch& batch : algorithm::pack_groups(pointers, packing)) {
    if (core::stop_requested()) throw core::Interrupted("stopped by a signal while validating");
    const at::Tensor logprobs =
        rollout::score(*run.policy.model, batch, run.masked_ids, /*temperature=*/1.0).logprobs;
    sum.nll -= logprobs.to(at::kDouble).sum().item<double>();
    sum.tokens += logprobs.numel();
  }
}

}  // namespace

std::optional<double> completion_loss(const Run& run, const data::EvalSet& split) {
  data::EncoderSpec spec = run.policy.encoder->spec();
  spec.requires_completion = true;
  const data::PromptEncoder encoder(std::move(spec));
  TokenSum sum;
  for (size_t begin = 0; begin < split.records.size(); begin += kRowsAtOnce) {
    const size_t end = std::min(begin + kRowsAtOnce, split.records.size());
    const PromptBatch rows = encode_rows(encoder, split, begin, end);
    if (!rows.prompts.empty()) add_rows(run, rows, sum);
  }
  if (sum.tokens == 0) return std::nullopt;
  return sum.nll / static_cast<double>(sum.tokens);
}

}  // namespace sgrpo::trainer
