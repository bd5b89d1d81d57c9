#include "sgrpo/model/token_packer.h"

#include <ATen/ATen.h>

namespace sgrpo::model {

void TokenPacker::append_prompt(const EncodedPrompt& prompt) {
  token_ids_.push_back(prompt.token_ids);
  position_ids_.push_back(prompt.position_ids);
  append_image_rows(prompt, next_row_, image_rows_);
  next_row_ += prompt.num_tokens();
  if (prompt.num_images() > 0) {
    pixel_values_.push_back(prompt.patches.pixel_values);
    grids_.push_back(prompt.patches.grid_thw);
  } else if (prompt.patches.pixel_values.defined()) {
    no_pixels_ = prompt.patches.pixel_values;
  }
}

void TokenPacker::append_ids(const std::vector<int64_t>& ids, int64_t position) {
  const auto length = static_cast<int64_t>(ids.size());
  token_ids_.push_back(at::tensor(ids, at::kLong));
  // All three axes of a text token advance together.
  position_ids_.push_back(
      at::arange(position, position + length, at::kLong).unsqueeze(0).expand({3, length}));
  next_row_ += length;
}

/// A segment that ends with the rows appended so far.
void TokenPacker::add_segment(int64_t q_begin, int64_t prefix_begin, int64_t prefix_end) {
  segments_.push_back({.q_begin = q_begin,
                       .q_end = next_row_,
                       .prefix_begin = prefix_begin,
                       .prefix_end = prefix_end,
                       .self_begin = q_begin,
                       .self_end = next_row_});
}

int64_t TokenPacker::add_prompt(const EncodedPrompt& prompt) {
  const int64_t begin = next_row_;
  append_prompt(prompt);
  add_segment(begin, begin, begin);
  return begin;
}

int64_t TokenPacker::add_branch(const EncodedPrompt& prompt,
                                int64_t prompt_begin,
                                const std::vector<int64_t>& ids) {
  const int64_t begin = next_row_;
  if (ids.empty()) return begin;
  append_ids(ids, prompt.next_position());
  add_segment(begin, prompt_begin, prompt_begin + prompt.num_tokens());
  return begin;
}

int64_t TokenPacker::add_sequence(const EncodedPrompt& prompt, const std::vector<int64_t>& ids) {
  const int64_t begin = next_row_;
  append_prompt(prompt);
  if (!ids.empty()) append_ids(ids, prompt.next_position());
  add_segment(begin, begin, begin);
  return begin;
}

PackedTokens TokenPacker::build() const {
  PackedTokens packed;
  packed.token_ids = at::cat(token_ids_);
  packed.position_ids = at::cat(position_ids_, 1);
  packed.num_positions = packed.position_ids.max().item<int64_t>() + 1;
  packed.pixel_values = at::empty({0, 0});
  if (!pixel_values_.empty()) {
    packed.pixel_values = at::cat(pixel_values_);
  } else if (no_pixels_.defined()) {
    packed.pixel_values = no_pixels_;
  }
  packed.grid_thw = grids_.empty() ? at::empty({0, 3}, at::kLong) : at::cat(grids_);
  packed.image_rows = at::tensor(image_rows_, at::kLong);
  packed.plan = ops::AttentionPlan::make(
      segments_, {.queries = next_row_, .keys = next_row_}, /*causal=*/true);
  return packed;
}

}  // namespace sgrpo::model
