#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/algorithm/loss.h"

namespace sgrpo::algorithm {
namespace {

void validate_params(const core::Json& params,
                     const std::vector<std::string>& known,
                     const std::string& owners) {
  for (const auto& [key, value] : params.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    throw core::UserError(core::str("algorithm.params.",
                                    key,
                                    " is unknown to ",
                                    owners,
                                    core::did_you_mean(key, known),
                                    "; known: ",
                                    known.empty() ? "none" : core::join(known, ", ")));
  }
}

}  // namespace

void validate(const AlgorithmOptions& options,
              const InjectionOptions& injection,
              int64_t group_size) {
  const auto estimator = EstimatorRegistry::get("estimator", options.estimator)(options);
  const auto loss = LossRegistry::get(
      "loss", options.loss)(LossSettings{.algorithm = options, .injection = injection});
  std::vector<std::string> known = estimator->param_names();
  for (const std::string& name : loss->param_names()) known.push_back(name);
  validate_params(options.params,
                  known,
                  core::str("estimator ", options.estimator, " and loss ", options.loss));

  validate(injection, group_size);
  if (group_size == 1 && !injection.can_append() && !estimator->allows_single()) {
    throw core::UserError(core::str("rollout.group_size is 1: estimator ",
                                    options.estimator,
                                    " compares the members of a group, use group_size >= 2"));
  }
  if (options.kl_place == KlPlace::kReward && options.kl_coef > 0) {
    throw core::UserError(
        "algorithm.kl_place: reward is not implemented; use kl_place: loss or kl_coef: 0");
  }
}

}  // namespace sgrpo::algorithm
