// RED-Weight: A *= exp(A / T), so that good members weigh more and bad ones less; A / T is clamped
// to
// +-20.
// Source: arXiv 2509.24203; the paper's T is not known to us, 1 is Trinity-RFT's.
#include <algorithm>
#include <cmath>

#include "sgrpo/algorithm/modifiers.h"

namespace sgrpo::algorithm {
namespace {

class RedWeight final : public Modifier {
 public:
  explicit RedWeight(MethodParams& params)
      : temperature_(params.number("temperature", 1.0, 1e-2, 1e6)) {}

  void modify(RolloutGroup& group, const core::RandomKey& /*key*/) const override {
    for (GroupMember& member : group.members) {
      for (double& advantage : member.advantages)
        advantage *= std::exp(std::clamp(advantage / temperature_, -20.0, 20.0));
    }
  }

 private:
  double temperature_;
};

SGRPO_REGISTER_MODIFIER("red_weight", RedWeight);

}  // namespace
}  // namespace sgrpo::algorithm
