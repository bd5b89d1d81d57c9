#include "policy/language_policy.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "sgrpo/core/check.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/text.h"
#include "sgrpo/ops/ops.h"
#include "sgrpo/rollout/rollout.h"

namespace sgrpo::policy {
namespace {

/// A float32 parameter of a checkpoint that holds fewer digits: saving rounds it.
bool is_rounded_on_disk(const LanguageParts& parts, const model::Parameter& parameter) {
  const bool is_adapter = !parts.model->adapter().parameters.empty();
  return !is_adapter && parameter.tensor.scalar_type() == at::kFloat &&
         parts.folder->entry(parameter.name).dtype != "F32";
}

ParameterArena arena_of(const LanguageParts& parts) {
  ParameterArena arena;
  for (const model::Parameter& parameter : model::trainable_parameters(*parts.model)) {
    std::vector<std::string> copies;
    for (const auto& [copy, original] : parts.model->spec().copies) {
      if (original == parameter.name) copies.push_back(copy);
    }
    arena.segments.push_back({.name = parameter.name,
                              .module = core::name_of(parameter.module),
                              .weight = parameter.tensor,
                              .is_rounded_on_disk = is_rounded_on_disk(parts, parameter),
                              .copies = std::move(copies)});
  }
  return arena;
}

}  // namespace

LanguageInputs LanguageInputs::to(at::Device device) const {
  LanguageInputs result = *this;
  result.tokens = tokens.to(device);
  result.logit_rows = logit_rows.to(device);
  return result;
}

LanguagePolicy::LanguagePolicy(LanguageParts parts)
    : parts_(std::move(parts)),
      masked_ids_(
          rollout::sampling_mask(parts_.model->spec(), parts_.encoder->spec().tokenizer->size())),
      masked_(at::tensor(masked_ids_, at::kLong).to(parts_.model->device())),
      no_mask_(at::empty({0}, at::kLong).to(parts_.model->device())),
      arena_(arena_of(parts_)) {}

const LanguagePolicy& as_language(const Policy& policy) {
  const auto* language = dynamic_cast<const LanguagePolicy*>(&policy);
  SGRPO_CHECK(language != nullptr, policy.where(), " is no language policy");
  return *language;
}

std::string LanguagePolicy::find_bad_id(const std::vector<int64_t>& completion_ids,
                                        bool masked) const {
  const model::ModelSpec& spec = parts_.model->spec();
  for (const int64_t id : completion_ids) {
    if (id < 0 || id >= spec.vocab_size)
      return core::str("token id ", id, ", expected 0..", spec.vocab_size - 1);
    if (id == spec.image_token_id || id == spec.video_token_id)
      return core::str("token id ", id, ", an image or video placeholder");
    if (masked && std::binary_search(masked_ids_.begin(), masked_ids_.end(), id)) {
      return core::str("token id ",
                       id,
                       ", which is beyond the tokenizer's ",
                       parts_.encoder->spec().tokenizer->size(),
                       " ids and gets no probability under rollout.sampling_mask");
    }
  }
  return "";
}

/// See rollout::FindStop. A text that the forced ids complete has been passed already; what ends in
/// replacements may be a character that is not whole yet.
std::optional<int64_t> LanguagePolicy::find_stop(const SamplingRequest& request,
                                                 const std::vector<int64_t>& token_ids) const {
  std::string text = parts_.encoder->completion_text(token_ids);
  while (core::ends_with(text, "\xEF\xBF\xBD")) text.resize(text.size() - 3);
  const std::vector<int64_t> ends = parts_.encoder->completion_ends(token_ids);
  const size_t forced = request.forced_ids.size();
  const auto passed = forced == 0 ? size_t{0} : static_cast<size_t>(ends[forced - 1]);
  size_t first = std::string::npos;  // where the earliest stop text ends
  for (const std::string& stop : request.options.stop_texts) {
    const size_t from = passed < stop.size() ? 0 : passed - stop.size() + 1;
    const size_t found = text.find(stop, from);
    if (found != std::string::npos) first = std::min(first, found + stop.size());
  }
  if (first == std::string::npos) return std::nullopt;
  const auto last = std::lower_bound(ends.begin(), ends.end(), static_cast<int64_t>(first));
  return last - ends.begin() + 1;
}

void LanguagePolicy::sample(const std::vector<SamplingRequest>& requests,
                            const GroupSink& finished) const {
  rollout::sample(*parts_.model,
                  requests,
                  {.masked_ids = masked_ids_,
                   .max_batch_rows = parts_.max_batch_rows,
                   .find_stop = [this](const auto& request,
                                       const auto& ids) { return find_stop(request, ids); }},
                  [&](size_t request, RolloutGroup&& group) {
                    for (GroupMember& member : group.members) {
                      Completion& completion = member.completion;
                      completion.text = parts_.encoder->completion_text(completion.token_ids);
                      completion.token_ends = parts_.encoder->completion_ends(completion.token_ids);
                    }
                    finished(request, std::move(group));
                  });
}

Scores LanguagePolicy::score(const PackedBatch& batch) const {
  const auto& inputs = dynamic_cast<const LanguageInputs&>(*batch.inputs);
  const at::Tensor hidden = parts_.model->forward(inputs.tokens);
  const at::Tensor rows = hidden.index_select(0, inputs.logit_rows);
  auto [logprobs, entropy] = ops::linear_logprob(rows,
                                                 parts_.model->output_weight(),
                                                 batch.loss.labels,
                                                 batch.scoring.sampling_mask ? masked_ : no_mask_,
                                                 batch.scoring.temperature);
  return {.logprobs = logprobs, .entropy = entropy};
}

}  // namespace sgrpo::policy
