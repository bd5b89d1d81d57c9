// Rank-GRPO: the items of a list are credited one by one, each against the group's items of the
// same rank.
//   credit own     the item's own reward
//   credit suffix  sum over ranks j >= k of reward_j / log2(j + 1): what earlier items earned is
//   not
//                  theirs that follow
//   A_k = (credit - mean) / (s + std_eps) over the members that reach rank k, for all tokens of the
//         item; 0 for a rank that fewer than two reach, and for tokens of no item
// With `list_length` n the length is shaped, too: - overflow_penalty on tokens behind the n-th
// item, which earn nothing else; on the end token - early_penalty before n items, + end_reward
// after exactly n. algorithm.std: none leaves out the division. The source counts a rank that a
// member does not reach as a reward of 0; the sizes of its penalties are not known to us. Source:
// yaochenzhu/Rank-GRPO.
#include <algorithm>
#include <cmath>

#include "algorithm/advantage/members.h"
#include "algorithm/units.h"
#include "sgrpo/algorithm/advantage.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"

namespace sgrpo::algorithm {
namespace {

class RankGrpo final : public Estimator {
 public:
  RankGrpo(const AlgorithmOptions& options, MethodParams& params)
      : normalize_(group_normalization(options, "rank_grpo")),
        is_suffix_(reads_suffix(params)),
        list_length_(params.integer("list_length", 0, 0, 1000000)),
        overflow_penalty_(params.number("overflow_penalty", 0.0, 0.0, 1e6)),
        early_penalty_(params.number("early_penalty", 0.0, 0.0, 1e6)),
        end_reward_(params.number("end_reward", 0.0, 0.0, 1e6)) {}

  Needs needs() const override { return {.ground_truth_verdict = true}; }
  bool reads_breakdown() const override { return true; }
  bool ignores_sum() const override { return true; }

  std::vector<RolloutGroup> finish(std::vector<RolloutGroup> groups,
                                   const std::vector<double>& /*sums*/) const override {
    for (RolloutGroup& group : groups) credit(group);
    return groups;
  }

 private:
  static bool reads_suffix(MethodParams& params) {
    const std::string credit = params.text("credit", "own");
    if (credit == "own" || credit == "suffix") return credit == "suffix";
    throw core::UserError(core::str("algorithm.params.estimator.credit is '",
                                    core::printable(credit),
                                    "', expected own or suffix"));
  }

  void credit(RolloutGroup& group) const {
    std::vector<GroupMember*> members;
    std::vector<std::vector<double>> credits;
    size_t ranks = 0;
    for (GroupMember& member : group.members) {
      member.set_advantage(0.0);
      if (!member.verdict.is_valid()) continue;
      check_items(group, member);
      members.push_back(&member);
      credits.push_back(credits_of(member.verdict.items));
      ranks = std::max(ranks, credits.back().size());
    }
    std::vector<std::vector<double>> advantages(members.size());
    for (size_t rank = 0; rank < ranks; ++rank) add_rank(rank, credits, advantages);
    for (size_t i = 0; i < members.size(); ++i) spread(advantages[i], *members[i]);
  }

  static void check_items(const RolloutGroup& group, const GroupMember& member) {
    if (member.verdict.status != VerdictStatus::kCorrect || !member.verdict.items.empty()) return;
    throw core::UserError(core::str(
        "algorithm.estimator is rank_grpo, which credits the items of a list, but a correct "
        "completion of prompt ",
        group.prompt_index,
        " has none: expected verifier ranked_list, or another that gives items"));
  }

  std::vector<double> credits_of(const std::vector<VerdictItem>& items) const {
    std::vector<double> credits(items.size());
    double sum = 0.0;
    for (size_t k = items.size(); k-- > 0;) {
      sum += items[k].reward / std::log2(static_cast<double>(k) + 2.0);
      credits[k] = is_suffix_ ? sum : items[k].reward;
    }
    if (is_limited(items.size())) credits.resize(static_cast<size_t>(list_length_));
    return credits;
  }

  bool is_limited(size_t items) const {
    return list_length_ > 0 && static_cast<int64_t>(items) > list_length_;
  }

  /// Appends the advantage of `rank` to those of every member that reaches it.
  void add_rank(size_t rank,
                const std::vector<std::vector<double>>& credits,
                std::vector<std::vector<double>>& mutable_advantages) const {
    std::vector<double> values;
    for (const auto& own : credits)
      if (rank < own.size()) values.push_back(own[rank]);
    const std::vector<double> normalized =
        values.size() < 2 ? std::vector<double>(values.size(), 0.0) : normalize_(values);
    size_t next = 0;
    for (size_t i = 0; i < credits.size(); ++i)
      if (rank < credits[i].size()) mutable_advantages[i].push_back(normalized[next++]);
  }

  /// The items' advantages on the member's tokens, and what its length earns.
  void spread(const std::vector<double>& items, GroupMember& member) const {
    const std::vector<int64_t> units = units_of(member);
    for (size_t t = 0; t < units.size(); ++t) {
      if (units[t] < 0) continue;
      const auto rank = static_cast<size_t>(units[t]);
      member.advantages[t] = rank < items.size() ? items[rank] : -overflow_penalty_;
    }
    const bool ends = member.completion.finish_reason == FinishReason::kStop;
    if (list_length_ == 0 || units.empty() || !ends) return;
    const auto count = static_cast<int64_t>(member.verdict.items.size());
    if (count < list_length_) member.advantages.back() -= early_penalty_;
    if (count == list_length_) member.advantages.back() += end_reward_;
  }

  Normalization normalize_;
  bool is_suffix_;
  int64_t list_length_;
  double overflow_penalty_, early_penalty_, end_reward_;
};

SGRPO_REGISTER_ADVANTAGE("rank_grpo", RankGrpo);

}  // namespace
}  // namespace sgrpo::algorithm
