// Rewards -> group-relative advantages.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sgrpo/algorithm/options.h"
#include "sgrpo/types/rollout_group.h"

namespace sgrpo::algorithm {

/// An advantage estimator: fills `advantage` of every member; invalid members get 0 and take no
/// part.
class Estimator {
 public:
  virtual ~Estimator() = default;
  virtual std::vector<RolloutGroup> compute(std::vector<RolloutGroup> groups) const = 0;
  /// Whether a group of one member is legal.
  virtual bool allows_single() const { return false; }
  /// Names of the keys that it reads from algorithm.params.
  virtual std::vector<std::string> param_names() const { return {}; }
};

/// Advantages of all groups by `options.estimator`, then injection's fail_weight on the negative
/// advantages of injected groups (this breaks the zero sum on purpose).
/// Throws: core::UserError for an unknown estimator; c10::ValueError for a group of one member
/// where neither the estimator nor injection.mode append makes sense of it
std::vector<RolloutGroup> compute_advantages(std::vector<RolloutGroup> groups,
                                             const AlgorithmOptions& options,
                                             const InjectionOptions& injection);

/// What the configuration's field list cannot say: names of estimator and loss, keys of `params`,
/// group size, combinations of injection switches.
/// Throws: core::UserError naming the key, the value and what is expected
void validate(const AlgorithmOptions& options,
              const InjectionOptions& injection,
              int64_t group_size);

}  // namespace sgrpo::algorithm

#define SGRPO_REGISTER_ADVANTAGE(name, Class)                                        \
  static const bool registered_##Class = ::sgrpo::algorithm::EstimatorRegistry::add( \
      name,                                                                          \
      [](const ::sgrpo::algorithm::AlgorithmOptions& options)                        \
          -> std::unique_ptr<::sgrpo::algorithm::Estimator> {                        \
        return std::make_unique<Class>(options);                                     \
      })
