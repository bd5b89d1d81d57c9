// GRPO-CARE's consistency bonus. Among the members that are accurate, reward > min_accuracy and >=
// the group's mean, those whose answer a slowly moving reference believes after their own reasoning
// earn more:
//   confidence = min(cap, exp(mean log-prob of the answer's tokens under frozen policy `frozen`))
//   reward += weight * accuracy where confidence >= mean over the accurate - margin
// All means are over the group. Accuracy is the member's whole verdict, or its part `part`; a
// member without an answer in its text is not confident. The reference has to be one of `frozen`
// (0.995 every 10 steps there). Source: arXiv 2506.16141 and TencentARC/GRPO-CARE, where members
// without an answer have confidence 1.
#include <algorithm>
#include <cmath>
#include <optional>

#include "sgrpo/algorithm/shaping.h"
#include "sgrpo/core/check.h"

namespace sgrpo::algorithm {
namespace {

bool is_judged_sample(const GroupMember& member) {
  return member.completion.origin == Origin::kSampled && member.verdict.is_valid();
}

class Consistency final : public Shaper {
 public:
  Consistency(MethodParams& params, const ShapingContext& /*context*/)
      : frozen_(params.text("frozen", "ema")),
        part_(params.text("part", "")),
        weight_(params.number("weight", 0.5, 0.0, 1e3)),
        cap_(params.number("cap", 0.95, 0.0, 1.0)),
        margin_(params.number("margin", 0.0, 0.0, 1.0)),
        min_accuracy_(params.number("min_accuracy", 0.1, -1e6, 1e6)) {}

  Needs needs() const override { return {.frozen = {frozen_}}; }

  double shape(const RolloutGroup& group, const GroupMember& member) const override {
    const double mean = mean_accuracy(group);
    const auto own = confidence(member);
    if (!is_accurate(member, mean) || !own) return member.reward();
    double sum = 0.0, count = 0.0;
    for (const GroupMember& other : group.members) {
      if (!is_judged_sample(other) || !is_accurate(other, mean)) continue;
      sum += confidence(other).value_or(0.0);
      count += 1.0;
    }
    const bool is_confident = *own >= sum / count - margin_;
    return member.reward() + (is_confident ? weight_ * accuracy(member) : 0.0);
  }

 private:
  double accuracy(const GroupMember& member) const {
    if (part_.empty()) return member.verdict.reward;
    const auto found = member.verdict.breakdown.find(part_);
    return found == member.verdict.breakdown.end() ? 0.0 : found->second;
  }

  double mean_accuracy(const RolloutGroup& group) const {
    double sum = 0.0, count = 0.0;
    for (const GroupMember& member : group.members) {
      if (!is_judged_sample(member)) continue;
      sum += accuracy(member);
      count += 1.0;
    }
    return sum / count;
  }

  bool is_accurate(const GroupMember& member, double mean) const {
    return accuracy(member) > min_accuracy_ && accuracy(member) >= mean;
  }

  /// Nothing for a member whose answer has no token.
  std::optional<double> confidence(const GroupMember& member) const {
    const auto scores = member.scores.frozen_logprobs.find(frozen_);
    SGRPO_CHECK(scores != member.scores.frozen_logprobs.end() &&
                    scores->second.size() == member.completion.token_ids.size(),
                "consistency: a member is not scored by ",
                frozen_);
    const std::vector<int64_t>& ends = member.completion.token_ends;
    if (!member.verdict.answer_span || ends.empty()) return std::nullopt;
    const TextSpan& span = *member.verdict.answer_span;
    double sum = 0.0, count = 0.0;
    for (size_t t = 0; t < ends.size(); ++t) {
      const int64_t begin = t == 0 ? 0 : ends[t - 1];
      if (begin >= span.end || ends[t] <= span.begin) continue;
      sum += static_cast<double>(scores->second[t]);
      count += 1.0;
    }
    if (count == 0.0) return std::nullopt;
    return std::min(cap_, std::exp(sum / count));
  }

  std::string frozen_, part_;
  double weight_, cap_, margin_, min_accuracy_;
};

SGRPO_REGISTER_SHAPER("consistency", Consistency);

}  // namespace
}  // namespace sgrpo::algorithm
