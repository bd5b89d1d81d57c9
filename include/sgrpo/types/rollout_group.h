// One prompt with its completions, from sampling to advantages.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sgrpo/types/encoded_prompt.h"
#include "sgrpo/types/verdict.h"

namespace sgrpo {

enum class FinishReason { kStop, kLength };
enum class Origin { kSampled, kGroundTruth };
enum class GroupKind { kAllFail, kAllPass, kMixed };

std::string_view to_string(FinishReason reason);  // stop, length
std::string_view to_string(Origin origin);        // sampled, ground_truth
std::string_view to_string(GroupKind kind);       // all_fail, all_pass, mixed

/// Generated tokens of one group member.
struct Completion {
  std::vector<int64_t> token_ids;  // [L], end token included when finish_reason is kStop
  /// [L] nats, NaN for tokens that were not drawn; empty for an injected member or an unscored
  /// recording
  std::vector<float> sampler_logprobs;
  /// Nats, over its tokens: of the distribution that the sampler saw, at its temperature and mask,
  /// before top-k and top-p
  double entropy_sum = 0.0;
  std::string text;  // decoded without the end token
  /// [L] bytes of `text` up to the end of each token, never falling; empty where nobody asked
  std::vector<int64_t> token_ends = {};
  FinishReason finish_reason = FinishReason::kStop;
  Origin origin = Origin::kSampled;
  int64_t sample_index = -1;  // its key inside the group; -1 for the ground truth
};

/// Log-probs of a member's tokens [L] that were asked for before advantages; empty = not scored.
struct MemberScores {
  std::vector<float> old_logprobs;  // under the rollout policy, by the trainer's forward
  std::vector<float> ref_logprobs;  // under the KL reference
  std::map<std::string, std::vector<float>> frozen_logprobs = {};  // under a frozen policy, by name
};

/// One member: completion, verdict and, later, shaped reward, scores and advantages.
struct GroupMember {
  Completion completion;
  Verdict verdict;
  std::optional<double> shaped_reward;  // what advantages use, where shaping changed it
  MemberScores scores;
  std::vector<double> advantages;  // [L] f64, one a token; empty before the estimator

  /// The reward that advantages use.
  double reward() const { return shaped_reward.value_or(verdict.reward); }
  /// One advantage for all tokens.
  void set_advantage(double advantage) {
    advantages.assign(completion.token_ids.size(), advantage);
  }
  /// The mean over its tokens; 0 before the estimator.
  double advantage() const;
};

/// One prompt's group. `members` take part in the loss; a replaced victim moves to `replaced`.
struct RolloutGroup {
  std::shared_ptr<const EncodedPrompt> prompt;
  int64_t prompt_index = 0;
  std::vector<GroupMember> members;     // G, or G+1 after append
  std::optional<GroupMember> replaced;  // the victim of an injection in replace mode
  GroupKind kind = GroupKind::kMixed;   // set by classify(), before injection
  bool has_valid_members = true;        // false: dropped and counted
  bool is_injected = false;
  int64_t place = 0;                  // among the step's groups of all ranks
  bool missing_ground_truth = false;  // the trigger held, but the row has no ground truth
  /// What the verifiers say about the ground truth's text; only where a method asks
  std::optional<Verdict> ground_truth_verdict;
  /// Bytes of that text up to the end of each token; only where the verdict names places in it
  std::vector<int64_t> ground_truth_ends;
  /// A sample that rewards are compared with, where an estimator asks for one: judged, but in no
  /// count, metric, trigger or row
  std::optional<GroupMember> baseline;

  int64_t size() const { return static_cast<int64_t>(members.size()); }
  /// Throws ContractError on an empty group, an empty completion, a non-finite reward or mismatched
  /// log-probs.
  void validate() const;
};

}  // namespace sgrpo
