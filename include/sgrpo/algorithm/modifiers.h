// Advantages -> advantages: what comes between the estimator and injection.fail_weight.
#pragma once

#include <memory>
#include <vector>

#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/method.h"
#include "sgrpo/algorithm/options.h"
#include "sgrpo/core/rng.h"
#include "sgrpo/types/rollout_group.h"

namespace sgrpo::algorithm {

/// Scales, adds to or masks the advantages of groups.
class Modifier {
 public:
  virtual ~Modifier() = default;
  virtual Needs needs() const { return {}; }
  /// `key`: seed, step and prompt, for modifiers that draw under a purpose of their own.
  virtual void modify(RolloutGroup& mutable_group, const core::RandomKey& key) const = 0;
};

using ModifierFactory = std::unique_ptr<Modifier> (*)(MethodParams& params);
struct ModifierTag {};
using ModifierRegistry = core::Registry<ModifierFactory, ModifierTag>;

/// The modifiers of algorithm.modifiers, in order. Throws core::UserError for unknown names,
/// unknown parameters and values out of range.
std::vector<std::unique_ptr<Modifier>> make_modifiers(const AlgorithmOptions& options);

/// `key`: seed and step.
std::vector<RolloutGroup> modify_advantages(std::vector<RolloutGroup> groups,
                                            const std::vector<std::unique_ptr<Modifier>>& modifiers,
                                            core::RandomKey key);

}  // namespace sgrpo::algorithm

#define SGRPO_REGISTER_MODIFIER(name, Class)                                        \
  static const bool registered_##Class = ::sgrpo::algorithm::ModifierRegistry::add( \
      name,                                                                         \
      [](::sgrpo::algorithm::MethodParams& params)                                  \
          -> std::unique_ptr<::sgrpo::algorithm::Modifier> {                        \
        return std::make_unique<Class>(params);                                     \
      })
