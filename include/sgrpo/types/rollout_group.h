// One prompt with its completions, from sampling to advantages.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "sgrpo/types/encoded_prompt.h"
#include "sgrpo/types/verdict.h"

namespace sgrpo {

enum class FinishReason { kStop, kLength, kAborted };
enum class Origin { kSampled, kGroundTruth };
enum class GroupKind { kAllFail, kAllPass, kMixed };

std::string_view to_string(FinishReason reason);  // stop, length, aborted
std::string_view to_string(Origin origin);        // sampled, ground_truth
std::string_view to_string(GroupKind kind);       // all_fail, all_pass, mixed

/// Generated tokens of one group member.
struct Completion {
  std::vector<int64_t> token_ids;  // [L], end token included when finish_reason is kStop
  std::vector<float>
      sampler_logprobs;  // [L] nats; empty for an injected member or an unscored recording
  std::string text;      // decoded without the end token
  FinishReason finish_reason = FinishReason::kStop;
  Origin origin = Origin::kSampled;
  int64_t sample_index = -1;   // its key inside the group; -1 for the ground truth
  int64_t weight_version = 0;  // number of optimizer updates behind the sampling weights
};

/// One member: completion, verdict and, later, advantage.
struct GroupMember {
  Completion completion;
  Verdict verdict;
  double advantage = 0.0;  // f64; 0 for invalid members
};

/// One prompt's group. `members` take part in the loss; a replaced victim moves to `replaced`.
struct RolloutGroup {
  const EncodedPrompt* prompt = nullptr;  // not owned; outlives the step
  int64_t prompt_index = 0;
  std::vector<GroupMember> members;     // G, or G+1 after append
  std::optional<GroupMember> replaced;  // the victim of an injection in replace mode
  GroupKind kind = GroupKind::kMixed;   // set by classify(), before injection
  bool has_valid_members = true;        // false: dropped and counted
  bool is_injected = false;
  bool missing_ground_truth = false;  // the trigger held, but the row has no ground truth

  int64_t size() const { return static_cast<int64_t>(members.size()); }
  /// Throws ContractError on an empty group, an empty completion, a non-finite reward or mismatched
  /// log-probs.
  void validate() const;
};

}  // namespace sgrpo
