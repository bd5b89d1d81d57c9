#include "sgrpo/core/check.h"
#include "sgrpo/types/encoded_prompt.h"
#include "sgrpo/types/loss_batch.h"
#include "sgrpo/types/non_finite.h"
#include "sgrpo/types/parameter_arena.h"
#include "sgrpo/types/rollout_group.h"
#include "sgrpo/types/train_row.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sgrpo {
namespace {

void check_vector(const at::Tensor& tensor,
                  const char* name,
                  int64_t size,
                  at::ScalarType dtype,
                  const char* letter) {
  TORCH_CHECK_VALUE(tensor.defined(), name, " is missing");
  TORCH_CHECK_VALUE(tensor.dim() == 1 && tensor.size(0) == size,
                    name,
                    " has shape ",
                    tensor.sizes(),
                    ", expected [",
                    letter,
                    "] with ",
                    letter,
                    " = ",
                    size);
  TORCH_CHECK_TYPE(
      tensor.scalar_type() == dtype, name, " is ", tensor.scalar_type(), ", expected ", dtype);
}

}  // namespace

std::string_view to_string(FinishReason reason) {
  return reason == FinishReason::kStop ? "stop" : "length";
}

std::string_view to_string(Origin origin) {
  return origin == Origin::kSampled ? "sampled" : "ground_truth";
}

std::string_view to_string(GroupKind kind) {
  switch (kind) {
    case GroupKind::kAllFail: return "all_fail";
    case GroupKind::kAllPass: return "all_pass";
    case GroupKind::kMixed: return "mixed";
  }
  return "mixed";
}

void PixelPatches::validate() const {
  TORCH_CHECK_VALUE(pixel_values.defined() && pixel_values.dim() == 2,
                    "pixel_values must be [N, D_patch]");
  TORCH_CHECK_VALUE(grid_thw.defined() && grid_thw.dim() == 2 && grid_thw.size(1) == 3,
                    "grid_thw must be [I, 3]");
  TORCH_CHECK_TYPE(grid_thw.scalar_type() == at::kLong,
                   "grid_thw is ",
                   grid_thw.scalar_type(),
                   ", expected Long");
  const int64_t patches = grid_thw.size(0) == 0 ? 0 : grid_thw.prod(1).sum().item<int64_t>();
  TORCH_CHECK_VALUE(patches == pixel_values.size(0),
                    "pixel_values has ",
                    pixel_values.size(0),
                    " patches, grid_thw adds up to ",
                    patches);
}

int64_t EncodedPrompt::next_position() const { return position_ids.max().item<int64_t>() + 1; }

void EncodedPrompt::validate() const {
  check_vector(token_ids, "token_ids", num_tokens(), at::kLong, "S");
  TORCH_CHECK_VALUE(num_tokens() > 0, "token_ids is empty, expected at least one token");
  TORCH_CHECK_VALUE(position_ids.defined() && position_ids.dim() == 2 &&
                        position_ids.size(0) == 3 && position_ids.size(1) == num_tokens(),
                    "position_ids must be [3, S] with S = ",
                    num_tokens());
  patches.validate();
}

at::Tensor LossBatch::in_loss() const { return weight != 0; }

LossBatch LossBatch::to(at::Device device) const {
  LossBatch result = *this;
  for (at::Tensor* tensor : {&result.labels,
                             &result.sequence_index,
                             &result.weight,
                             &result.advantages,
                             &result.is_injected,
                             &result.old_logprobs,
                             &result.ref_logprobs,
                             &result.sampler_logprobs,
                             &result.unit}) {
    if (tensor->defined()) *tensor = tensor->to(device);
  }
  return result;
}

void LossBatch::validate() const {
  const int64_t decisions = sequence_index.defined() ? sequence_index.size(0) : 0;
  const auto check = [&](const at::Tensor& tensor, const char* name, at::ScalarType dtype) {
    check_vector(tensor, name, decisions, dtype, "M");
  };
  check(sequence_index, "sequence_index", at::kLong);
  if (labels.defined()) check(labels, "labels", at::kLong);
  check(weight, "weight", at::kFloat);
  check(advantages, "advantages", at::kFloat);
  check(is_injected, "is_injected", at::kBool);
  if (old_logprobs.defined()) check(old_logprobs, "old_logprobs", at::kFloat);
  if (ref_logprobs.defined()) check(ref_logprobs, "ref_logprobs", at::kFloat);
  if (sampler_logprobs.defined()) check(sampler_logprobs, "sampler_logprobs", at::kFloat);
  if (unit.defined()) check(unit, "unit", at::kLong);
  check_vector(cu_seqlens, "cu_seqlens", static_cast<int64_t>(group.size()) + 1, at::kInt, "B+1");
  TORCH_CHECK_VALUE(cu_seqlens[-1].item<int64_t>() == decisions,
                    "cu_seqlens ends at ",
                    cu_seqlens[-1].item<int64_t>(),
                    ", expected M = ",
                    decisions);
}

TrainRow completion_row(std::shared_ptr<const EncodedPrompt> prompt,
                        const std::vector<int64_t>& completion_ids) {
  SGRPO_CHECK(!completion_ids.empty(), "a completion has no tokens");
  TrainRow row;
  const int64_t last_of_prompt = prompt->num_tokens() - 1;
  row.prompt = std::move(prompt);
  row.own_ids.assign(completion_ids.begin(), completion_ids.end() - 1);
  row.decisions.resize(completion_ids.size());
  for (size_t t = 0; t < completion_ids.size(); ++t) {
    row.decisions[t].reads = last_of_prompt + static_cast<int64_t>(t);
    row.decisions[t].label = completion_ids[t];
  }
  return row;
}

int64_t ParameterArena::num_values() const {
  int64_t count = 0;
  for (const ParameterSegment& segment : segments) count += segment.weight.numel();
  return count;
}

double GroupMember::advantage() const {
  if (advantages.empty()) return 0.0;
  const bool is_one = std::all_of(
      advantages.begin(), advantages.end(), [&](double a) { return a == advantages.front(); });
  if (is_one) return advantages.front();
  return std::accumulate(advantages.begin(), advantages.end(), 0.0) /
         static_cast<double>(advantages.size());
}

void RolloutGroup::validate() const {
  SGRPO_CHECK(prompt != nullptr, "a group has no prompt");
  SGRPO_CHECK(!members.empty(), "group of prompt ", prompt_index, " has no members");
  for (const GroupMember& member : members) {
    const Completion& completion = member.completion;
    SGRPO_CHECK(
        !completion.token_ids.empty(), "prompt ", prompt_index, ": a completion has no tokens");
    SGRPO_CHECK(completion.sampler_logprobs.empty() ||
                    completion.sampler_logprobs.size() == completion.token_ids.size(),
                "prompt ",
                prompt_index,
                ": ",
                completion.sampler_logprobs.size(),
                " sampler log-probs for ",
                completion.token_ids.size(),
                " tokens");
    const auto& ends = completion.token_ends;
    SGRPO_CHECK(ends.empty() || (ends.size() == completion.token_ids.size() &&
                                 std::is_sorted(ends.begin(), ends.end()) &&
                                 ends.back() == static_cast<int64_t>(completion.text.size())),
                "prompt ",
                prompt_index,
                ": the ends of a completion's tokens do not divide its text");
    member.verdict.validate();
    SGRPO_CHECK(
        member.advantages.empty() || member.advantages.size() == completion.token_ids.size(),
        "prompt ",
        prompt_index,
        ": ",
        member.advantages.size(),
        " advantages for ",
        completion.token_ids.size(),
        " tokens");
    for (const double advantage : member.advantages) {
      if (!std::isfinite(advantage))
        throw NonFiniteError(core::str("prompt ", prompt_index, ": advantage is not finite"));
    }
  }
}

}  // namespace sgrpo
