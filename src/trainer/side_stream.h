// Streams of rows beside a step's prompts: their order, and what their rows are answered with.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sgrpo/data/stream.h"
#include "sgrpo/trainer/run_config.h"
#include "sgrpo/trainer/trainer.h"

namespace sgrpo::trainer {

/// Where a stream's rows lie, and which of the keys behind all positions of the training stream are
/// its own: no random number is shared.
struct SideStream {
  std::string path;
  int64_t first_index = 0;
  int64_t rows_per_step = 1;
};

/// Prompts are read as training's are, but a row may end with its answer; ground truths may have
/// any length.
data::EncoderSpec side_spec(data::EncoderSpec spec, const RunConfig& config, Task task);

std::unique_ptr<data::PromptStream> open_side_stream(
    const SideStream& side,
    const RunConfig& config,
    std::shared_ptr<const data::PromptEncoder> encoder,
    const data::Sharing& sharing = {});

/// What a row's own answer is: the completion, else what injection would take.
const std::optional<std::string>& given_answer(const PromptRecord& record);

/// The prompt with this answer as its ground truth, and no verifier of its own.
std::shared_ptr<const EncodedPrompt> with_answer(const EncodedPrompt& prompt,
                                                 std::string text,
                                                 std::vector<int64_t> token_ids);

}  // namespace sgrpo::trainer
