#include "sgrpo/core/check.h"
#include "sgrpo/types/encoded_prompt.h"
#include "sgrpo/types/rollout_group.h"
#include "sgrpo/types/train_batch.h"

#include <ATen/ATen.h>

#include <cmath>

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
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kAborted: return "aborted";
  }
  return "aborted";
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

void TrainBatch::validate() const {
  TORCH_CHECK_VALUE(input != nullptr, "input is missing");
  const int64_t tokens = labels.defined() ? labels.size(0) : 0;
  check_vector(labels, "labels", tokens, at::kLong, "M");
  check_vector(logit_rows, "logit_rows", tokens, at::kLong, "M");
  check_vector(sequence_index, "sequence_index", tokens, at::kLong, "M");
  check_vector(loss_mask, "loss_mask", tokens, at::kBool, "M");
  check_vector(advantages, "advantages", tokens, at::kFloat, "M");
  check_vector(is_injected, "is_injected", tokens, at::kBool, "M");
  if (old_logprobs.defined()) check_vector(old_logprobs, "old_logprobs", tokens, at::kFloat, "M");
  if (ref_logprobs.defined()) check_vector(ref_logprobs, "ref_logprobs", tokens, at::kFloat, "M");
  if (sampler_logprobs.defined())
    check_vector(sampler_logprobs, "sampler_logprobs", tokens, at::kFloat, "M");
  check_vector(cu_seqlens,
               "cu_seqlens",
               static_cast<int64_t>(group_of_sequence.size()) + 1,
               at::kInt,
               "B+1");
  TORCH_CHECK_VALUE(cu_seqlens[-1].item<int64_t>() == tokens,
                    "cu_seqlens ends at ",
                    cu_seqlens[-1].item<int64_t>(),
                    ", expected M = ",
                    tokens);
  TORCH_CHECK_VALUE(num_loss_tokens_global >= loss_mask.sum().item<int64_t>(),
                    "num_loss_tokens_global is ",
                    num_loss_tokens_global,
                    ", smaller than this micro-batch's own count");
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
    member.verdict.validate();
    SGRPO_CHECK(
        std::isfinite(member.advantage), "prompt ", prompt_index, ": advantage is not finite");
  }
}

}  // namespace sgrpo
