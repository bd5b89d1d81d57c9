// Posterior gating: a reward for thinking counts only where the outcome is right,
//   r = format + outcome + outcome * think
// of the rewards that the verifiers of these names gave (format: none = 0). Outcomes between 0 and
// 1 gate in proportion. Source: arXiv 2508.05170 (the idea; the formula is another
// implementation's).
#include "sgrpo/algorithm/shaping.h"
#include "sgrpo/core/text.h"

namespace sgrpo::algorithm {
namespace {

class Posterior final : public Shaper {
 public:
  Posterior(MethodParams& params, const ShapingContext& /*context*/)
      : outcome_(params.text("outcome", std::nullopt)),
        think_(params.text("think", std::nullopt)),
        format_(params.text("format", "")) {}

  double shape(const RolloutGroup& group, const GroupMember& member) const override {
    const double outcome = part(outcome_, group, member);
    const double format = format_.empty() ? 0.0 : part(format_, group, member);
    return format + outcome + outcome * part(think_, group, member);
  }

 private:
  static double part(const std::string& name,
                     const RolloutGroup& group,
                     const GroupMember& member) {
    const auto& breakdown = member.verdict.breakdown;
    if (const auto found = breakdown.find(name); found != breakdown.end()) return found->second;
    std::vector<std::string> known;
    for (const auto& [other, reward] : breakdown) known.push_back(other);
    throw core::UserError(core::str("algorithm.shaping posterior: no verifier '",
                                    core::printable(name),
                                    "' judged prompt ",
                                    group.prompt_index,
                                    core::did_you_mean(name, known),
                                    "; expected one of `rewards`: ",
                                    known.empty() ? "none" : core::join(known, ", ")));
  }

  std::string outcome_, think_, format_;
};

SGRPO_REGISTER_SHAPER("posterior", Posterior);

}  // namespace
}  // namespace sgrpo::algorithm
