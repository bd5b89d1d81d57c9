// The loss of a split's own completions: what supervised training lowers.
#include <algorithm>
#include <memory>
#include <optional>

#include "sgrpo/core/interrupt.h"
#include "trainer/stages.h"
#include "trainer/together.h"

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
      batch.prompts.push_back(
          std::make_shared<const EncodedPrompt>(encoder.encode(split.records[i])));
    } catch (const data::RecordError&) {
      continue;
    }
  }
  return batch;
}

}  // namespace

std::optional<double> completion_loss(const State& state, const data::EvalSet& split) {
  data::EncoderSpec spec = state.learner->policy().encoder()->spec();
  spec.requires_completion = spec.takes_last_turn = true;
  const data::PromptEncoder encoder(std::move(spec));
  distributed::Communicator& ranks = *state.communicator;
  const core::Share share{.index = ranks.rank(), .count = ranks.size()};
  double nll = 0.0, tokens = 0.0;
  together(ranks, [&] {
    int64_t chunk = 0;
    for (size_t begin = 0; begin < split.records.size(); begin += kRowsAtOnce) {
      if (!share.holds(chunk++)) continue;
      const size_t end = std::min(begin + kRowsAtOnce, split.records.size());
      const PromptBatch prompts = encode_rows(encoder, split, begin, end);
      const auto scores = state.learner->score(
          supervised_rows(state, prompts), state.scoring(/*is_sft=*/true), learner::Who::kCurrent);
      for (const std::vector<float>& row : scores.logprobs) {
        for (const float logprob : row) nll -= static_cast<double>(logprob);
        tokens += static_cast<double>(row.size());
      }
    }
  });
  const auto sums = ranks.reduce({nll, tokens});
  if (sums[1] == 0.0) return std::nullopt;
  return sums[0] / sums[1];
}

}  // namespace sgrpo::trainer
