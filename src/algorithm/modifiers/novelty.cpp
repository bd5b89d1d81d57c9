// XRPO's novelty bonus: correct sampled members that the policy finds unlikely gain
//   A += min(max(scale (1 - eta), 0), cap A),  eta = exp(s - mean s of the group)
// with s the mean sampler log-prob of a member's tokens, and the mean over the group's valid
// sampled members. Members whose advantage is not positive gain nothing. Source: arXiv 2510.06672
// (scale 2.5 and cap 0.5 by a reader's summary). Its allocation of rollouts and its seeding with
// solved exemplars are not part of this.
#include <algorithm>
#include <cmath>

#include "sgrpo/algorithm/modifiers.h"
#include "sgrpo/core/check.h"

namespace sgrpo::algorithm {
namespace {

bool takes_part(const GroupMember& member) {
  return member.completion.origin == Origin::kSampled && member.verdict.is_valid();
}

double mean_sampler_logprob(const GroupMember& member) {
  const auto& logprobs = member.completion.sampler_logprobs;
  SGRPO_CHECK(!logprobs.empty(), "novelty: a sampled member has no sampler log-probs");
  double sum = 0.0;
  for (const float logprob : logprobs) sum += static_cast<double>(logprob);
  return sum / static_cast<double>(logprobs.size());
}

class Novelty final : public Modifier {
 public:
  explicit Novelty(MethodParams& params)
      : scale_(params.number("scale", 2.5, 0.0, 1e3)), cap_(params.number("cap", 0.5, 0.0, 1e3)) {}

  void modify(RolloutGroup& group, const core::RandomKey& /*key*/) const override {
    double sum = 0.0, count = 0.0;
    for (const GroupMember& member : group.members) {
      if (!takes_part(member)) continue;
      sum += mean_sampler_logprob(member);
      count += 1.0;
    }
    for (GroupMember& member : group.members) {
      if (!takes_part(member) || member.verdict.status != VerdictStatus::kCorrect) continue;
      const double eta = std::exp(mean_sampler_logprob(member) - sum / count);
      const double bonus = std::max(scale_ * (1.0 - eta), 0.0);
      for (double& advantage : member.advantages)
        advantage += std::min(bonus, cap_ * std::max(advantage, 0.0));
    }
  }

 private:
  double scale_, cap_;
};

SGRPO_REGISTER_MODIFIER("novelty", Novelty);

}  // namespace
}  // namespace sgrpo::algorithm
