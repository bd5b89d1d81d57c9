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
#include "sgrpo/types/host_read.h"
#include "sgrpo/types/non_finite.h"
#include "sgrpo/types/train_row.h"

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
      find_stop_(options.find_stop),
      masked_(at::tensor(options.masked_ids, at::kLong).to(model.device())),
      no_mask_(at::empty({0}, at::kLong).to(model.device())),
      open_(requests_.size()) {
  int64_t slots = 0;
  for (const SamplingRequest& request : requests_) {
    prompt_begin_.push_back(slots);
    slots += request.prompt->num_tokens() + static_cast<int64_t>(request.forced_ids.size());
  }
  prompt_begin_.push_back(slots);
  make_rows(slots);
}

void Decoder::make_rows(int64_t prompt_slots) {
  int64_t slot = prompt_slots;
  for (size_t r = 0; r < requests_.size(); ++r) {
    const SamplingRequest& request = requests_[r];
    const auto num_forced = static_cast<int64_t>(request.forced_ids.size());
    const int64_t next = request.prompt->next_position() + num_forced;
    model_.expect_positions(next + request.options.max_new_tokens);
    for (int64_t sample = 0; sample < request.num_samples; ++sample) {
      Row row;
      row.request = r;
      row.sample_index = request.first_index + sample;
      row.first_slot = slot;
      row.next_position = next;
      row.completion.sample_index = row.sample_index;
      row.completion.token_ids = request.forced_ids;
      row.completion.sampler_logprobs.assign(request.forced_ids.size(), Decision::kNone);
      row.entropies.assign(request.forced_ids.size(), 0.0f);
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
  for (Row* row : live_) cut_at_stop_text(*row);
  hand_over(finished);
}

at::Tensor Decoder::upload(const at::Tensor& host) const { return host.to(model_.device()); }

/// Vision and prefill once per prompt; every member of a group starts from the same logits.
/// [rows, V]
at::Tensor Decoder::first_logits() {
  model::TokenPacker packer;
  std::vector<int64_t> last_rows, counts;
  for (const SamplingRequest& request : requests_) {
    packer.add_sequence(*request.prompt, request.forced_ids);
    last_rows.push_back(packer.num_rows() - 1);
    counts.push_back(request.num_samples);
  }
  const at::Tensor hidden =
      model_.forward_cached(packer.build().to(model_.device()),
                            upload(at::arange(prompt_begin_.back(), at::kLong)),
                            cache_);
  const at::Tensor last = hidden.index_select(0, upload(at::tensor(last_rows, at::kLong)));
  const at::Tensor members = at::arange(static_cast<int64_t>(counts.size()), at::kLong)
                                 .repeat_interleave(at::tensor(counts, at::kLong));
  return at::linear(last, model_.output_weight()).index_select(0, upload(members));
}

/// What every live row sees: its prompt's slots and its own. Assigned anew when a row has left.
void Decoder::plan_step() {
  if (is_planned_) return plan_->advance();
  std::vector<ops::DecodePlan::Row> rows;
  for (const Row* row : live_) {
    rows.push_back({.prefix_begin = prompt_begin_[row->request],
                    .prefix_end = prompt_begin_[row->request + 1],
                    .self_begin = row->first_slot,
                    .self_end = row->first_slot + num_drawn(*row)});
  }
  plan_->assign(rows);
  is_planned_ = true;
}

/// One decode step of every live row, from its last token.
at::Tensor Decoder::next_logits() {
  const auto rows = static_cast<int64_t>(live_.size());
  plan_step();
  // Token, slot and the three axes of the position, uploaded as one.
  at::Tensor numbers = at::empty({5, rows}, at::kLong);
  auto number = numbers.accessor<int64_t, 2>();
  for (int64_t i = 0; i < rows; ++i) {
    const Row& row = *live_[static_cast<size_t>(i)];
    const int64_t done = num_drawn(row);
    number[0][i] = row.completion.token_ids.back();
    number[1][i] = row.first_slot + done - 1;
    for (int64_t axis = 2; axis < 5; ++axis) number[axis][i] = row.next_position + done - 1;
  }
  numbers = upload(numbers);
  model::PackedTokens input;
  input.token_ids = numbers[0];
  input.position_ids = numbers.narrow(0, 2, 3);
  input.plan = plan_->attention();
  const at::Tensor hidden = model_.forward_cached(input, numbers[1], cache_);
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
    append_drawn(draw, logits.index_select(0, upload(at::tensor(draw.rows, at::kLong))));
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
                                                        upload(uniform),
                                                        options.sampling_mask ? masked_ : no_mask_,
                                                        {.temperature = options.temperature,
                                                         .top_p = options.top_p,
                                                         .top_k = options.top_k,
                                                         .greedy = options.greedy});
  const auto drawn = read_on_host({sampled.ids, sampled.logprobs, sampled.entropy});
  const auto ids = drawn[0].accessor<int64_t, 1>();
  const auto logprobs = drawn[1].accessor<float, 1>();
  const auto entropies = drawn[2].accessor<float, 1>();
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
  row.entropies.push_back(entropy);
  const auto& ends = options.end_token_ids;
  const bool is_end = std::find(ends.begin(), ends.end(), id) != ends.end();
  if (!is_end && num_drawn(row) < options.max_new_tokens) return;
  end(row, is_end ? FinishReason::kStop : FinishReason::kLength);
  cut_at_stop_text(row);
}

void Decoder::end(Row& row, FinishReason reason) {
  row.completion.finish_reason = reason;
  if (row.is_live) --open_[row.request];
  row.is_live = false;
}

/// A completion is a function of its request: what was drawn behind a stop text before anybody
/// looked goes.
void Decoder::cut_at_stop_text(Row& row) {
  const SamplingRequest& request = requests_[row.request];
  if (!find_stop_ || request.options.stop_texts.empty()) return;
  const auto kept = find_stop_(request, row.completion.token_ids);
  if (!kept) return;
  const auto length = static_cast<size_t>(*kept);
  row.completion.token_ids.resize(length);
  row.completion.sampler_logprobs.resize(length);
  row.entropies.resize(length);
  end(row, FinishReason::kStop);
}

int64_t Decoder::num_drawn(const Row& row) const {
  return static_cast<int64_t>(row.completion.token_ids.size()) -
         static_cast<int64_t>(requests_[row.request].forced_ids.size());
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
      for (const float entropy : row.entropies)
        row.completion.entropy_sum += static_cast<double>(entropy);
      group.members.emplace_back().completion = std::move(row.completion);
    }
    group.validate();
    finished(first_ + r, std::move(group));
  }
}

}  // namespace sgrpo::rollout
