#include "trainer/side_stream.h"

#include "sgrpo/core/rng.h"

namespace sgrpo::trainer {

data::EncoderSpec side_spec(data::EncoderSpec spec, const RunConfig& config, Task task) {
  spec = with_stream_limits(std::move(spec), config, task);
  spec.takes_last_turn = true;  // an answer, like `completion`
  spec.max_ground_truth_tokens = 0;
  return spec;
}

std::unique_ptr<data::PromptStream> open_side_stream(
    const SideStream& side,
    const RunConfig& config,
    std::shared_ptr<const data::PromptEncoder> encoder,
    const data::Sharing& sharing) {
  data::DataOptions options = config.data;
  options.train = side.path;
  options.baseline.reset();
  const core::RandomKey key{.seed = static_cast<uint64_t>(config.seed),
                            .prompt_index = static_cast<uint64_t>(side.first_index),
                            .purpose = core::Purpose::kShuffle};
  return std::make_unique<data::PromptStream>(
      options, std::move(encoder), key.bits(), side.rows_per_step, sharing);
}

const std::optional<std::string>& given_answer(const PromptRecord& record) {
  return record.completion ? record.completion : record.injected_text();
}

std::shared_ptr<const EncodedPrompt> with_answer(const EncodedPrompt& prompt,
                                                 std::string text,
                                                 std::vector<int64_t> token_ids) {
  auto result = std::make_shared<EncodedPrompt>(prompt);
  auto record = std::make_shared<PromptRecord>(*prompt.record);
  record->ground_truth = std::move(text);
  record->ground_truth_completion.reset();
  record->completion.reset();
  record->completion_was_last_turn = false;
  record->verifier.clear();
  result->ground_truth_ids = std::move(token_ids);
  result->record = std::move(record);
  return result;
}

}  // namespace sgrpo::trainer
