// Rewards -> group-relative advantages.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sgrpo/algorithm/method.h"
#include "sgrpo/algorithm/options.h"
#include "sgrpo/ops/deviation.h"
#include "sgrpo/types/rollout_group.h"
#include "sgrpo/types/sampling_options.h"

namespace sgrpo::algorithm {

/// What must be scored, over the injected groups, before a method can do its work.
struct Needs {
  bool old_logprobs = false;          // under the rollout policy, by the trainer's forward
  bool ref_logprobs = false;          // under the KL reference
  bool ground_truth_verdict = false;  // parts and answer of the injected ground truth, as judged
  std::set<std::string> frozen = {};  // under policies of `frozen`, by name

  Needs operator|(const Needs& other) const {
    Needs both{.old_logprobs = old_logprobs || other.old_logprobs,
               .ref_logprobs = ref_logprobs || other.ref_logprobs,
               .ground_truth_verdict = ground_truth_verdict || other.ground_truth_verdict,
               .frozen = frozen};
    both.frozen.insert(other.frozen.begin(), other.frozen.end());
    return both;
  }
};

/// An advantage estimator: fills `advantages` of every member from `reward()`; invalid members get
/// 0 and take no part.
class Estimator {
 public:
  virtual ~Estimator() = default;
  /// Sums over this rank's groups that must be added over all ranks before `finish`.
  virtual std::vector<double> local(const std::vector<RolloutGroup>& /*groups*/) const {
    return {};
  }
  /// `sums`: what `local` gave, over all ranks.
  virtual std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                           const std::vector<double>& sums) const = 0;
  virtual Needs needs() const { return {}; }
  /// The formula, where it is all that the estimator does: then one launch serves a step.
  virtual std::optional<ops::GroupFormula> formula() const { return std::nullopt; }
  /// Whether a group of one member is legal.
  virtual bool allows_single() const { return false; }
  /// Whether it reads the parts of a reward.
  virtual bool reads_breakdown() const { return false; }
  /// Whether it reads them in the place of their sum, so that nothing may shape that.
  virtual bool ignores_sum() const { return false; }
  /// How to sample, under the run's options, the completion that rewards are compared with; nothing
  /// if it needs none.
  virtual std::optional<SamplingOptions> baseline_request(SamplingOptions /*sampling*/) const {
    return std::nullopt;
  }
  /// Columns that every row must have, as numbers.
  virtual std::vector<std::string> columns() const { return {}; }
  /// Whether it takes the KL of `kl_place: reward` token by token itself.
  virtual bool takes_token_kl() const { return false; }
};

/// The estimator of `options`. Throws core::UserError for unknown names and parameters.
std::unique_ptr<Estimator> make_estimator(const AlgorithmOptions& options);

/// Whether the estimator of `options` needs nothing of a member but its reward and its tokens.
bool reads_rewards_alone(const AlgorithmOptions& options);

/// Adds host numbers over all ranks.
using SumOverRanks = std::function<std::vector<double>(std::vector<double>)>;

/// Advantages of all groups by `options.estimator`.
/// Throws: core::UserError for an unknown estimator; c10::ValueError for a group of one member
/// where neither the estimator nor injection.mode append makes sense of it
std::vector<RolloutGroup> compute_advantages(std::vector<RolloutGroup> groups,
                                             const AlgorithmOptions& options,
                                             const InjectionOptions& injection,
                                             const SumOverRanks& sum);

/// injection.fail_weight on the negative advantages of injected groups (this breaks the zero sum on
/// purpose).
std::vector<RolloutGroup> weigh_failures(std::vector<RolloutGroup> groups,
                                         const InjectionOptions& injection);

/// Whether rewards differ: max - min > max(min_spread, 1e-12 max(1, |max|)). The one rule for
/// advantages, filters and metrics; weighted sums that should be equal differ by an ulp.
bool has_spread(const std::vector<double>& rewards, double min_spread);

/// Whether estimator, shaping and injection agree on what a reward is. Throws core::UserError where
/// the estimator reads the parts of a reward and the configuration shapes their sum.
void check_rewards(const AlgorithmOptions& options, const InjectionOptions& injection);

/// What the configuration's field list cannot say: names of estimator and loss, keys of `params`,
/// group size, combinations of injection switches.
/// Throws: core::UserError naming the key, the value and what is expected
void validate(const AlgorithmOptions& options,
              const InjectionOptions& injection,
              int64_t group_size);

}  // namespace sgrpo::algorithm

/// Class(const AlgorithmOptions&, MethodParams&): what it does not ask for is refused.
#define SGRPO_REGISTER_ADVANTAGE(name, Class)                                         \
  static const bool registered_##Class = ::sgrpo::algorithm::EstimatorRegistry::add(  \
      name,                                                                           \
      [](const ::sgrpo::algorithm::AlgorithmOptions& options)                         \
          -> std::unique_ptr<::sgrpo::algorithm::Estimator> {                         \
        const auto own = ::sgrpo::algorithm::own_params(options.params, "estimator"); \
        ::sgrpo::algorithm::MethodParams params(own, "algorithm.params.estimator");   \
        auto estimator = std::make_unique<Class>(options, params);                    \
        params.finish();                                                              \
        return estimator;                                                             \
      })
