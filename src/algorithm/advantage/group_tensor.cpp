#include "algorithm/advantage/group_tensor.h"

#include "sgrpo/ops/ops.h"

namespace sgrpo::algorithm {
namespace {

uint8_t status_of(const GroupMember& member) {
  if (!member.verdict.is_valid()) return static_cast<uint8_t>(ops::MemberStatus::kNotJudged);
  const bool is_correct = member.verdict.status == VerdictStatus::kCorrect;
  return static_cast<uint8_t>(is_correct ? ops::MemberStatus::kCorrect
                                         : ops::MemberStatus::kFailed);
}

}  // namespace

GroupTensor to_tensor(const std::vector<RolloutGroup>& groups) {
  int64_t widest = 0;
  for (const RolloutGroup& group : groups) widest = std::max(widest, group.size());
  const auto rows = static_cast<int64_t>(groups.size());
  GroupTensor tensor{
      at::zeros({rows, widest}, at::kDouble),
      at::full({rows, widest}, static_cast<int64_t>(ops::MemberStatus::kNobody), at::kByte)};
  auto rewards = tensor.rewards.accessor<double, 2>();
  auto status = tensor.status.accessor<uint8_t, 2>();
  for (int64_t p = 0; p < rows; ++p) {
    const auto& members = groups[static_cast<size_t>(p)].members;
    for (size_t i = 0; i < members.size(); ++i) {
      rewards[p][static_cast<int64_t>(i)] = members[i].reward();
      status[p][static_cast<int64_t>(i)] = status_of(members[i]);
    }
  }
  return tensor;
}

std::vector<RolloutGroup> with_advantages(std::vector<RolloutGroup> groups,
                                          const at::Tensor& advantages) {
  const auto values = advantages.accessor<double, 2>();
  for (size_t p = 0; p < groups.size(); ++p) {
    auto& members = groups[p].members;
    for (size_t i = 0; i < members.size(); ++i) {
      members[i].set_advantage(values[static_cast<int64_t>(p)][static_cast<int64_t>(i)]);
    }
  }
  return groups;
}

}  // namespace sgrpo::algorithm
