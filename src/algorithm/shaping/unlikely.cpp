// Rewarding the Unlikely: r *= 1 - b (G - rank) / G, rank 1 = the likeliest of the group's G valid
// sampled members by the mean of its sampler log-probs (ties: the lowest index first), so that
// likely solutions earn less than rare ones. Source: arXiv 2506.02355 (b 0.25 in the authors'
// repository).
#include <algorithm>

#include "sgrpo/algorithm/shaping.h"
#include "sgrpo/core/check.h"

namespace sgrpo::algorithm {
namespace {

class Unlikely final : public Shaper {
 public:
  Unlikely(MethodParams& params, const ShapingContext& /*context*/)
      : b_(params.number("b", 0.25, 0.0, 1.0)) {}

  double shape(const RolloutGroup& group, const GroupMember& member) const override {
    const double own = mean_logprob(member);
    double size = 0.0, rank = 1.0;
    bool is_before = true;  // members in front of this one win ties
    for (const GroupMember& other : group.members) {
      if (&other == &member) is_before = false;
      if (other.completion.origin != Origin::kSampled || !other.verdict.is_valid()) continue;
      size += 1.0;
      if (&other == &member) continue;
      const double likelihood = mean_logprob(other);
      rank += likelihood > own || (likelihood == own && is_before);
    }
    return member.reward() * (1.0 - b_ * (size - rank) / size);
  }

 private:
  static double mean_logprob(const GroupMember& member) {
    const auto& logprobs = member.completion.sampler_logprobs;
    SGRPO_CHECK(!logprobs.empty(), "unlikely: a sampled member has no sampler log-probs");
    double sum = 0.0;
    for (const float logprob : logprobs) sum += static_cast<double>(logprob);
    return sum / static_cast<double>(logprobs.size());
  }

  double b_;
};

SGRPO_REGISTER_SHAPER("unlikely", Unlikely);

}  // namespace
}  // namespace sgrpo::algorithm
