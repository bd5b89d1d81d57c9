// What may ask for more samples once groups are judged, before injection.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "sgrpo/algorithm/injection.h"
#include "sgrpo/algorithm/options.h"
#include "sgrpo/core/registry.h"
#include "sgrpo/types/rollout_group.h"

namespace sgrpo::algorithm {

/// What a follow-up may know besides the judged groups. What injection would repair counts as
/// repaired: rewards_after_injection() tells.
struct FollowUpContext {
  InjectionOptions injection;
  InjectionContext injection_context;
  double min_spread = 0.0;  // algorithm.min_spread
};

/// Asks for a group of the stream's next prompt, in the place of the step's `group`-th.
struct FollowUpRequest {
  size_t group = 0;
};

/// What came back: a judged and classified group, or none where the rounds were used up.
struct FollowUpAnswer {
  FollowUpRequest request;
  std::optional<RolloutGroup> group;
};

/// A step's groups, and those that were sampled for it and left.
struct FollowedGroups {
  std::vector<RolloutGroup> groups;
  std::vector<RolloutGroup> dropped;
};

/// Looks at judged groups and asks, in rounds, until nothing is left to ask for or the
/// configuration's bound is met. Both functions are pure: records in, records out.
class FollowUp {
 public:
  virtual ~FollowUp() = default;
  /// At most one request a group, in the order of groups.
  virtual std::vector<FollowUpRequest> ask(const std::vector<RolloutGroup>& groups,
                                           const FollowUpContext& context) const = 0;
  /// Puts the answers where they belong; one an own request, in their order.
  virtual FollowedGroups place(FollowedGroups groups,
                               std::vector<FollowUpAnswer> answers) const = 0;
};

using FollowUpFactory = std::unique_ptr<FollowUp> (*)();
struct FollowUpTag {};
using FollowUpRegistry = core::Registry<FollowUpFactory, FollowUpTag>;

}  // namespace sgrpo::algorithm

#define SGRPO_REGISTER_FOLLOW_UP(name, Class)                                       \
  static const bool registered_##Class = ::sgrpo::algorithm::FollowUpRegistry::add( \
      name,                                                                         \
      []() -> std::unique_ptr<::sgrpo::algorithm::FollowUp> { return std::make_unique<Class>(); })
