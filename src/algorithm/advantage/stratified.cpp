// Stratified advantage normalisation (SAN) and its blend with the whole group:
//   A = alpha (r - mean_k) / (s_k + std_eps) + (1 - alpha) (r - mean) / (s + std_eps)
// inside stratum k of the group. `by: status` makes two strata, parsed and not; any other name is a
// verifier's in the member's own breakdown (calls, crops, format), whose equal values are a
// stratum. A stratum of one has A_k = 0; the injected member belongs to the stratum of its own
// content. Source: arXiv 2510.06214; the paper's alpha is not known to us, 1.0 is another
// project's.
#include <map>

#include "algorithm/advantage/members.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/core/text.h"

namespace sgrpo::algorithm {
namespace {

const std::string kByStatus = "status";

/// What a member's stratum is named by: 0 or 1 for its status, else a number of its breakdown.
double stratum_of(const GroupMember& member, const std::string& by, int64_t prompt_index) {
  if (by == kByStatus) return member.verdict.status == VerdictStatus::kUnparsed ? 0.0 : 1.0;
  const auto found = member.verdict.breakdown.find(by);
  if (found != member.verdict.breakdown.end()) return found->second;
  std::vector<std::string> known = {kByStatus};
  for (const auto& [name, value] : member.verdict.breakdown) known.push_back(name);
  throw core::UserError(core::str("algorithm.params.estimator.by is ",
                                  core::printable(by),
                                  ", which no verdict on prompt ",
                                  prompt_index,
                                  " names",
                                  core::did_you_mean(by, known),
                                  "; expected one of: ",
                                  core::join(known, ", ")));
}

class Stratified final : public Estimator {
 public:
  Stratified(const AlgorithmOptions& options, MethodParams& params)
      : normalize_(group_normalization(options, "stratified")),
        by_(params.text("by", kByStatus)),
        alpha_(params.number("alpha", 1.0, 0.0, 1.0)) {}

  Needs needs() const override { return {.ground_truth_verdict = reads_breakdown()}; }
  bool reads_breakdown() const override { return by_ != kByStatus; }

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& /*sums*/) const override {
    return by_group(std::move(groups), [this](const RolloutGroup& group, const Members& members) {
      std::map<double, std::vector<size_t>> strata;
      for (size_t i = 0; i < members.size(); ++i)
        strata[stratum_of(*members[i], by_, group.prompt_index)].push_back(i);
      const std::vector<double> rewards = rewards_of(members);
      std::vector<double> advantages = normalize_(rewards);
      for (double& advantage : advantages) advantage *= 1.0 - alpha_;
      for (const auto& [value, places] : strata) {
        std::vector<double> own;
        for (const size_t i : places) own.push_back(rewards[i]);
        own = normalize_(own);
        for (size_t n = 0; n < places.size(); ++n) advantages[places[n]] += alpha_ * own[n];
      }
      return advantages;
    });
  }

 private:
  Normalization normalize_;
  std::string by_;
  double alpha_;
};

SGRPO_REGISTER_ADVANTAGE("stratified", Stratified);

}  // namespace
}  // namespace sgrpo::algorithm
