// Scales a group's advantages down by the semantic entropy of its answers:
//   A / (1 + coef * SE),  SE = -sum over distinct answers of p log p   (nats)
// over valid sampled members; answers that could not be read form one kind. The paper's own
// function, and its values, are not known to us: form and coef 0.0417 are those of another
// implementation; `normalize` divides SE by log of the members' number.
// Source: arXiv 2505.12346.
#include <cmath>
#include <map>
#include <string>

#include "sgrpo/algorithm/modifiers.h"

namespace sgrpo::algorithm {
namespace {

class Seed final : public Modifier {
 public:
  explicit Seed(MethodParams& params)
      : coef_(params.number("coef", 0.0417, 0.0, 1e6)),
        normalizes_(params.flag("normalize", false)) {}

  void modify(RolloutGroup& group, const core::RandomKey& /*key*/) const override {
    const double scale = 1.0 / (1.0 + coef_ * entropy_of(group));
    for (GroupMember& member : group.members) {
      for (double& advantage : member.advantages) advantage *= scale;
    }
  }

 private:
  double entropy_of(const RolloutGroup& group) const {
    std::map<std::string, int64_t> kinds;
    int64_t count = 0;
    for (const GroupMember& member : group.members) {
      if (member.completion.origin != Origin::kSampled || !member.verdict.is_valid()) continue;
      ++kinds[member.verdict.answer];
      ++count;
    }
    double entropy = 0.0;
    for (const auto& [answer, number] : kinds) {
      const double p = static_cast<double>(number) / static_cast<double>(count);
      entropy -= p * std::log(p);
    }
    return normalizes_ && count > 1 ? entropy / std::log(static_cast<double>(count)) : entropy;
  }

  double coef_;
  bool normalizes_;
};

SGRPO_REGISTER_MODIFIER("seed", Seed);

}  // namespace
}  // namespace sgrpo::algorithm
