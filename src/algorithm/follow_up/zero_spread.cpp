// Bounded dynamic sampling: a group without spread teaches nothing, so it leaves and the stream's
// next prompt is sampled in its place. What injection will repair is alive: DAPO's filter, which
// knows no injection, would throw those groups away. Where the rounds are used up the step goes on
// with the groups that it has.
// Source: arXiv 2503.14476 (dynamic sampling, there without a bound).
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/follow_up.h"
#include "sgrpo/core/check.h"

namespace sgrpo::algorithm {
namespace {

class ZeroSpread final : public FollowUp {
 public:
  std::vector<FollowUpRequest> ask(const std::vector<RolloutGroup>& groups,
                                   const FollowUpContext& context) const override {
    std::vector<FollowUpRequest> requests;
    for (size_t i = 0; i < groups.size(); ++i) {
      const auto rewards =
          rewards_after_injection(groups[i], context.injection, context.injection_context);
      if (!has_spread(rewards, context.min_spread)) requests.push_back({.group = i});
    }
    return requests;
  }

  FollowedGroups place(FollowedGroups result, std::vector<FollowUpAnswer> answers) const override {
    std::vector<bool> is_gone(result.groups.size(), false);
    for (FollowUpAnswer& answer : answers) {
      const size_t place = answer.request.group;
      SGRPO_CHECK(place < result.groups.size(), "an answer for group ", place);
      result.dropped.push_back(std::move(result.groups[place]));
      is_gone[place] = !answer.group;
      if (answer.group) result.groups[place] = std::move(*answer.group);
    }
    std::vector<RolloutGroup> kept;
    for (size_t i = 0; i < result.groups.size(); ++i) {
      if (!is_gone[i]) kept.push_back(std::move(result.groups[i]));
    }
    result.groups = std::move(kept);
    return result;
  }
};

SGRPO_REGISTER_FOLLOW_UP("zero_spread", ZeroSpread);

}  // namespace
}  // namespace sgrpo::algorithm
