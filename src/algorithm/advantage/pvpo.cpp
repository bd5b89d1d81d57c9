// PVPO's static baseline: A = r - b, b = the mean reward that a reference model earned on the row,
// measured beforehand and given in the row's column `baseline`. The rule of spread does not apply:
// a group that is better than the reference as a whole is pushed up. algorithm.std and std_eps have
// no effect. Its stored ground truth for prompts that fail is `injection.when: all_fail`. Source:
// arXiv 2508.21104 (second hand: the paper was not read; its ratio of the ground truth is not known
// to us).
#include "algorithm/advantage/members.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/core/check.h"

namespace sgrpo::algorithm {
namespace {

const std::string kBaselineColumn = "baseline";

class Pvpo final : public Estimator {
 public:
  Pvpo(const AlgorithmOptions& /*options*/, MethodParams& /*params*/) {}

  bool allows_single() const override { return true; }
  std::vector<std::string> columns() const override { return {kBaselineColumn}; }

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& /*sums*/) const override {
    return by_group(std::move(groups), [](const RolloutGroup& group, const Members& members) {
      const core::Json* column = core::find(group.prompt->record->columns, kBaselineColumn);
      const auto baseline = column == nullptr ? std::nullopt : core::number_value(*column);
      SGRPO_CHECK(baseline, "pvpo: the row of prompt ", group.prompt_index, " has no baseline");
      std::vector<double> advantages = rewards_of(members);
      for (double& advantage : advantages) advantage -= *baseline;
      return advantages;
    });
  }
};

SGRPO_REGISTER_ADVANTAGE("pvpo", Pvpo);

}  // namespace
}  // namespace sgrpo::algorithm
