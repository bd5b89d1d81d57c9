#include "algorithm/modifiers/teacher.h"

#include "sgrpo/core/check.h"

namespace sgrpo::algorithm {

bool is_taught(const GroupMember& member) {
  return member.completion.origin == Origin::kSampled && member.verdict.is_valid();
}

std::vector<double> teacher_gaps(const GroupMember& member, const std::string& teacher) {
  const auto found = member.scores.frozen_logprobs.find(teacher);
  const size_t tokens = member.completion.token_ids.size();
  SGRPO_CHECK(found != member.scores.frozen_logprobs.end() && found->second.size() == tokens &&
                  member.scores.old_logprobs.size() == tokens,
              "a member is not scored by the policy and by ",
              teacher);
  std::vector<double> gaps(tokens);
  for (size_t t = 0; t < tokens; ++t)
    gaps[t] =
        static_cast<double>(found->second[t]) - static_cast<double>(member.scores.old_logprobs[t]);
  return gaps;
}

}  // namespace sgrpo::algorithm
