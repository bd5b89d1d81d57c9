#include <ATen/ATen.h>

#include "rollout/decode.h"

namespace sgrpo::rollout {

PrefillBatch pack_prompts(const std::vector<SamplingRequest>& requests) {
  PrefillBatch batch;
  std::vector<at::Tensor> tokens, positions, pixels, grids;
  std::vector<int64_t> lengths, last_rows, image_rows;
  int64_t begin = 0;
  for (const SamplingRequest& request : requests) {
    const EncodedPrompt& prompt = *request.prompt;
    const int64_t end = begin + prompt.num_tokens();
    tokens.push_back(prompt.token_ids);
    positions.push_back(prompt.position_ids);
    if (prompt.num_images() > 0) {
      pixels.push_back(prompt.patches.pixel_values);
      grids.push_back(prompt.patches.grid_thw);
    }
    model::append_image_rows(prompt, begin, image_rows);
    lengths.push_back(end - begin);
    batch.prompt_begin.push_back(begin);
    last_rows.push_back(end - 1);
    begin = end;
  }
  batch.prompt_begin.push_back(begin);
  batch.last_rows = at::tensor(last_rows, at::kLong);
  batch.input.token_ids = at::cat(tokens);
  batch.input.position_ids = at::cat(positions, 1);
  batch.input.pixel_values = pixels.empty() ? at::empty({0, 0}) : at::cat(pixels);
  batch.input.grid_thw = grids.empty() ? at::empty({0, 3}, at::kLong) : at::cat(grids);
  batch.input.image_rows = at::tensor(image_rows, at::kLong);
  batch.input.plan = ops::AttentionPlan::of_lengths(lengths, /*causal=*/true);
  return batch;
}

std::vector<ops::DecodePlan::Row> visible_slots(const std::vector<Row*>& live,
                                                const PrefillBatch& prefill) {
  std::vector<ops::DecodePlan::Row> rows;
  for (const Row* row : live) {
    const auto prompt = static_cast<size_t>(row->prompt);
    const auto done = static_cast<int64_t>(row->completion.token_ids.size());
    rows.push_back({.prefix_begin = prefill.prompt_begin[prompt],
                    .prefix_end = prefill.prompt_begin[prompt + 1],
                    .self_begin = row->first_slot,
                    .self_end = row->first_slot + done});
  }
  return rows;
}

StepInput pack_step(const std::vector<Row*>& live, const ops::AttentionPlan& plan) {
  const auto rows = static_cast<int64_t>(live.size());
  StepInput step;
  step.input.token_ids = at::empty({rows}, at::kLong);
  step.input.position_ids = at::empty({3, rows}, at::kLong);
  step.input.plan = plan;
  step.slots = at::empty({rows}, at::kLong);
  auto tokens = step.input.token_ids.accessor<int64_t, 1>();
  auto positions = step.input.position_ids.accessor<int64_t, 2>();
  auto slots = step.slots.accessor<int64_t, 1>();
  for (int64_t i = 0; i < rows; ++i) {
    const Row& row = *live[static_cast<size_t>(i)];
    const auto done = static_cast<int64_t>(row.completion.token_ids.size());
    tokens[i] = row.completion.token_ids.back();
    slots[i] = row.first_slot + done - 1;
    for (int64_t axis = 0; axis < 3; ++axis) positions[axis][i] = row.next_position + done - 1;
  }
  return step;
}

}  // namespace sgrpo::rollout
