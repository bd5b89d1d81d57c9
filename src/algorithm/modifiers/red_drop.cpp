// RED-Drop: a group keeps its positive members and as many negative ones, drawn by key; the others'
// advantages become 0. A member is positive or negative by the sum of its advantages. The
// advantages that stay are not centred again. Source: arXiv 2509.24203; the paper's rule is not
// known to us: equal numbers are our choice, as in Trinity-RFT (`drop: balance`), which takes the
// mean of those that are left.
#include "sgrpo/algorithm/modifiers.h"

namespace sgrpo::algorithm {
namespace {

class RedDrop final : public Modifier {
 public:
  explicit RedDrop(MethodParams& /*params*/) {}

  void modify(RolloutGroup& group, const core::RandomKey& key) const override {
    size_t num_positive = 0;
    std::vector<size_t> negative;
    for (size_t i = 0; i < group.members.size(); ++i) {
      const double advantage = group.members[i].advantage();
      num_positive += advantage > 0;
      if (advantage < 0) negative.push_back(i);
    }
    core::RandomKey own = key;
    own.purpose = core::Purpose::kDrop;
    const auto order = core::permutation(static_cast<int64_t>(negative.size()), own);
    for (size_t n = num_positive; n < negative.size(); ++n)
      group.members[negative[static_cast<size_t>(order[n])]].set_advantage(0.0);
  }
};

SGRPO_REGISTER_MODIFIER("red_drop", RedDrop);

}  // namespace
}  // namespace sgrpo::algorithm
