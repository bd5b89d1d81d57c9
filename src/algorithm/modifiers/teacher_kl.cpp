// On-policy distillation: A_t += coef (log P_teacher(y_t) - log p_t) on every sampled token, both
// of the rollout's policies and neither with a gradient; the teacher is a policy of `frozen` that
// reads the same prompt. The injected member was not sampled and keeps its advantage. Source:
// ms-swift (teacher_kl_coef).
#include "algorithm/modifiers/teacher.h"
#include "sgrpo/algorithm/modifiers.h"

namespace sgrpo::algorithm {
namespace {

class TeacherKl final : public Modifier {
 public:
  explicit TeacherKl(MethodParams& params)
      : frozen_(params.text("frozen", "teacher")), coef_(params.number("coef", 1.0, 0.0, 1e6)) {}

  Needs needs() const override { return {.old_logprobs = true, .frozen = {frozen_}}; }

  void modify(RolloutGroup& group, const core::RandomKey& /*key*/) const override {
    for (GroupMember& member : group.members) {
      if (!is_taught(member)) continue;
      const std::vector<double> gaps = teacher_gaps(member, frozen_);
      for (size_t t = 0; t < gaps.size(); ++t) member.advantages[t] += coef_ * gaps[t];
    }
  }

 private:
  std::string frozen_;
  double coef_;
};

SGRPO_REGISTER_MODIFIER("teacher_kl", TeacherKl);

}  // namespace
}  // namespace sgrpo::algorithm
