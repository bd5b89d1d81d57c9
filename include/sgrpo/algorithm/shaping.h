// Verdicts -> the rewards that advantages use.
#pragma once

#include <memory>
#include <vector>

#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/method.h"
#include "sgrpo/algorithm/options.h"
#include "sgrpo/types/rollout_group.h"

namespace sgrpo::algorithm {

/// What every shaper may know of the run.
struct ShapingContext {
  int64_t max_new_tokens = 0;  // rollout.max_new_tokens
};

/// Changes the rewards of sampled members; verdicts are never overwritten.
class Shaper {
 public:
  virtual ~Shaper() = default;
  virtual Needs needs() const { return {}; }
  /// The new reward of a valid sampled member, out of `member.reward()`.
  virtual double shape(const RolloutGroup& group, const GroupMember& member) const = 0;
};

using ShaperFactory = std::unique_ptr<Shaper> (*)(MethodParams& params,
                                                  const ShapingContext& context);
struct ShaperTag {};
using ShaperRegistry = core::Registry<ShaperFactory, ShaperTag>;

/// The shapers of algorithm.shaping, in order. Throws core::UserError for unknown names, unknown
/// parameters and values out of range.
std::vector<std::unique_ptr<Shaper>> make_shapers(const AlgorithmOptions& options,
                                                  const ShapingContext& context);

/// Shaped rewards of sampled members, each at most max(its verdict's reward, the injected member's
/// reward), so that shaping never lifts a failure above the ground truth; then, with
/// injection.smoothing, ViSurf's third control on the injected member: where a sampled one does as
/// well, it gets their mean. Source: arXiv 2510.10606 (smoothing).
std::vector<RolloutGroup> shape_rewards(std::vector<RolloutGroup> groups,
                                        const std::vector<std::unique_ptr<Shaper>>& shapers,
                                        const InjectionOptions& injection);

/// kl_place: reward. Sampled members lose kl_coef times the sum of their tokens' k1 to the
/// reference (old - ref, both scored); the injected member pays nothing.
std::vector<RolloutGroup> subtract_kl(std::vector<RolloutGroup> groups, double kl_coef);

}  // namespace sgrpo::algorithm

#define SGRPO_REGISTER_SHAPER(name, Class)                                        \
  static const bool registered_##Class = ::sgrpo::algorithm::ShaperRegistry::add( \
      name,                                                                       \
      [](::sgrpo::algorithm::MethodParams& params,                                \
         const ::sgrpo::algorithm::ShapingContext& context)                       \
          -> std::unique_ptr<::sgrpo::algorithm::Shaper> {                        \
        return std::make_unique<Class>(params, context);                          \
      })
