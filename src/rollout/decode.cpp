#include "rollout/decode.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "sgrpo/core/error.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/text.h"
#include "sgrpo/model/token_packer.h"
#include "sgrpo/ops/ops.h"
#include "sgrpo/types/non_finite.h"

namespace sgrpo::rollout {
namespace {

bool draw_alike(const SamplingOptions& a, const SamplingOptions& b) {
  return a.temperature == b.temperature && a.top_p == b.top_p && a.top_k == b.top_k &&
         a.greedy == b.greedy && a.sampling_mask == b.sampling_mask;
}

}  // namespace

Decoder::Decoder(const model::Model& model,
                 std::vector<SamplingRequest> requests,
                 size_t first,
                 const DecodeOptions& options)
    : model_(model),
      requests_(std::move(requests)),
      first_(first),
      masked_(at::tensor(options.masked_ids, at::kLong).to(model.device())),
      no_mask_(at::empty({0}, at::kLong).to(model.device())),
      open_(requests_.size()) {
  int64_t slots = 0;
  for (const SamplingRequest& request : requests_) {
    prompt_begin_.push_back(slots);
    slots += request.prompt->num_tokens();
  }
  prompt_begin_.push_back(slots);
  make_rows(slots);
}

void Decoder::make_rows(int64_t prompt_slots) {
  int64_t slot = prompt_slots;
  for (size_t r = 0; r < requests_.size(); ++r) {
    const SamplingRequest& request = requests_[r];
    const int64_t next = request.prompt->next_position();
    model_.expect_positions(next + request.options.max_new_tokens);
    for (int64_t sample = 0; sample < request.num_samples; ++sample) {
      Row row;
      row.request = r;
      row.sample_index = request.first_index + sample;
      row.first_slot = slot;
      row.next_position = next;
      row.completion.sample_index = row.sample_index;
      rows_.push_back(std::move(row));
      slot += request.options.max_new_tokens;
    }
    open_[r] = static_cast<size_t>(request.num_samples);
  }
  for (Row& row : rows_) live_.push_back(&row);
  cache_ = model_.make_cache(slot);
  plan_.emplace(static_cast<int64_t>(rows_.size()), slot, model_.device());
}

void Decoder::advance(int64_t steps, const GroupSink& finished) {
  for (int64_t step = 0; step < steps && !live_.empty(); ++step) {
    if (core::stop_requested()) throw core::Interrupted("stopped by a signal while sampling");
    append_tokens(is_prefilled_ ? next_logits() : first_logits());
    is_prefilled_ = true;
    hand_over(finished);
  }
}

/// Vision and prefill once per prompt; every member of a group starts from the same logits.
/// [rows, V]
at::Tensor Decoder::first_logits() {
  model::TokenPacker packer;
  std::vector<int64_t> last_rows, counts;
  for (const SamplingRequest& request : requests_) {
    packer.add_prompt(*request.prompt);
    last_rows.push_back(packer.num_rows() - 1);
    counts.push_back(request.num_samples);
  }
  const at::Tensor slots = at::arange(prompt_begin_.back(), at::kLong);
  const at::Tensor hidden = model_.forward_cached(packer.build(), slots, cache_);
  const at::Tensor last =
      hidden.index_select(0, at::tensor(last_rows, at::kLong).to(hidden.device()));
  return at::linear(last, model_.output_weight())
      .repeat_interleave(at::tensor(counts, at::kLong).to(hidden.device()), 0);
}

/// What every live row sees: its prompt's slots and its own. Assigned anew when a row has left.
void Decoder::plan_step() {
  if (is_planned_) return plan_->advance();
  std::vector<ops::DecodePlan::Row> rows;
  for (const Row* row : live_) {
    const auto done = static_cast<int64_t>(row->completion.token_ids.size());
    rows.push_back({.prefix_begin = prompt_begin_[row->request],
                    .prefix_end = prompt_begin_[row->request + 1],
                    .self_begin = row->first_slot,
                    .self_end = row->first_slot + done});
  }
  plan_->assign(rows);
  is_planned_ = true;
}

/// One decode step of every live row, from its last token.
at::Tensor Decoder::next_logits() {
  const auto rows = static_cast<int64_t>(live_.size());
  plan_step();
  model::PackedTokens input;
  input.token_ids = at::empty({rows}, at::kLong);
  input.position_ids = at::empty({3, rows}, at::kLong);
  input.plan = plan_->attention();
  at::Tensor slots = at::empty({rows}, at::kLong);
  auto* tokens = input.token_ids.mutable_data_ptr<int64_t>();
  auto positions = input.position_ids.accessor<int64_t, 2>();
  auto* slot = slots.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < rows; ++i) {
    const Row& row = *live_[static_cast<size_t>(i)];
    const auto done = static_cast<int64_t>(row.completion.token_ids.size());
    tokens[i] = row.completion.token_ids.back();
    slot[i] = row.first_slot + done - 1;
    for (int64_t axis = 0; axis < 3; ++axis) positions[axis][i] = row.next_position + done - 1;
  }
  const at::Tensor hidden = model_.forward_cached(input, slots, cache_);
  return at::linear(hidden, model_.output_weight());
}

/// Rows of equal options are drawn by one call; all of them where the options agree, as they do
/// unless somebody asks for more than one kind of sample.
void Decoder::append_tokens(const at::Tensor& logits) {
  std::vector<Draw> draws;
  for (size_t i = 0; i < live_.size(); ++i) {
    const SamplingOptions& options = requests_[live_[i]->request].options;
    const auto same = std::find_if(draws.begin(), draws.end(), [&](const Draw& draw) {
      return draw_alike(*draw.options, options);
    });
    Draw& draw =
        same == draws.end() ? draws.emplace_back(Draw{.rows = {}, .options = &options}) : *same;
    draw.rows.push_back(static_cast<int64_t>(i));
  }
  if (draws.size() == 1) return append_drawn(draws.front(), logits);
  for (const Draw& draw : draws) {
    append_drawn(draw,
                 logits.index_select(0, at::tensor(draw.rows, at::kLong).to(logits.device())));
  }
}

void Decoder::append_drawn(const Draw& draw, const at::Tensor& logits) {
  const SamplingOptions& options = *draw.options;
  const auto rows = static_cast<int64_t>(draw.rows.size());
  at::Tensor uniform = at::zeros({rows}, at::kDouble);
  auto uniforms = uniform.accessor<double, 1>();
  const auto row_of = [&](int64_t i) -> Row& {
    return *live_[static_cast<size_t>(draw.rows[static_cast<size_t>(i)])];
  };
  for (int64_t i = 0; i < rows && !options.greedy; ++i) uniforms[i] = uniform_of(row_of(i));
  const ops::SampledTokens sampled = ops::sample_tokens(logits,
                                                        uniform,
                                                        options.sampling_mask ? masked_ : no_mask_,
                                                        {.temperature = options.temperature,
                                                         .top_p = options.top_p,
                                                         .top_k = options.top_k,
                                                         .greedy = options.greedy});
  const auto ids = sampled.ids.accessor<int64_t, 1>();
  const auto logprobs = sampled.logprobs.accessor<float, 1>();
  const auto entropies = sampled.entropy.accessor<float, 1>();
  for (int64_t i = 0; i < rows; ++i) {
    Row& row = row_of(i);
    // No token is likely where no number is one: nothing may be sampled from it.
    if (!std::isfinite(logprobs[i])) refuse_logits(row);
    append(row, ids[i], logprobs[i], entropies[i]);
  }
}

void Decoder::refuse_logits(const Row& row) const {
  const SamplingRequest& request = requests_[row.request];
  const auto& record = request.prompt->record;
  throw NonFiniteError(
      core::str("sampling token ",
                row.completion.token_ids.size(),
                " of prompt ",
                request.key.prompt_index,
                record ? core::str(" (", record->source.str(), ", id '", record->id, "')") : "",
                ": the model's logits are not finite; take an earlier checkpoint "
                "or model.dtype=float32"));
}

double Decoder::uniform_of(const Row& row) const {
  core::RandomKey key = requests_[row.request].key;
  key.sample_index = static_cast<uint64_t>(row.sample_index);
  key.purpose = core::Purpose::kSampling;
  return key.uniform(row.completion.token_ids.size());
}

void Decoder::append(Row& row, int64_t id, float logprob, float entropy) {
  const SamplingOptions& options = requests_[row.request].options;
  Completion& completion = row.completion;
  completion.token_ids.push_back(id);
  completion.sampler_logprobs.push_back(logprob);
  completion.entropy_sum += static_cast<double>(entropy);
  const auto& ends = options.end_token_ids;
  const bool is_end = std::find(ends.begin(), ends.end(), id) != ends.end();
  const auto length = static_cast<int64_t>(completion.token_ids.size());
  if (!is_end && length < options.max_new_tokens) return;
  completion.finish_reason = is_end ? FinishReason::kStop : FinishReason::kLength;
  row.is_live = false;
  --open_[row.request];
}

/// Ended rows leave; a group whose last row ended goes to the caller.
void Decoder::hand_over(const GroupSink& finished) {
  const auto left = std::erase_if(live_, [](const Row* row) { return !row->is_live; });
  is_planned_ = is_planned_ && left == 0;
  for (size_t r = 0; r < requests_.size(); ++r) {
    if (open_[r] != 0) continue;
    open_[r] = std::numeric_limits<size_t>::max();  // handed over
    RolloutGroup group;
    group.prompt = requests_[r].prompt;
    group.prompt_index = static_cast<int64_t>(requests_[r].key.prompt_index);
    for (Row& row : rows_) {
      if (row.request != r) continue;
      group.members.emplace_back().completion = std::move(row.completion);
    }
    group.validate();
    finished(first_ + r, std::move(group));
  }
}

}  // namespace sgrpo::rollout
