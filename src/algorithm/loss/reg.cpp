// Reg-GRPO, regression on the advantage, no clip:
//   (A - A^)^2,  A^ = (x - mean x) / std x over the group,  x = sum over the sequence of log p -
//   log p_old
// Every token carries its sequence's value: seq_mean_token_mean gives the mean over members. Where
// std x < 1e-6, as in the first update of a rollout, A^ is x - mean x, so that it has a gradient
// there. The paper's divisor of std x is not known; ours is members - 1, as the advantages'
// default. Its KL term has a sign that reads oddly; ours is kl_coef, added to the loss. beta and
// learning rate are not known. Source: arXiv 2506.07464 (DeepVideo-R1), at second hand.
#include "algorithm/loss/groups.h"
#include "algorithm/loss/terms.h"

namespace sgrpo::algorithm {
namespace {

constexpr double kSmallestStd = 1e-6;

class Reg final : public TokenLoss {
 public:
  Reg(const LossSettings& /*settings*/, MethodParams& /*params*/) {}

  at::Tensor token_loss(const LossInputs& inputs) const override {
    const LossBatch& batch = inputs.batch;
    const Groups groups = groups_of(batch);
    const at::Tensor lengths = sequence_sums(at::ones_like(inputs.policy), batch).clamp_min(1);
    const at::Tensor advantages = sequence_sums(batch.advantages, batch) / lengths;
    const at::Tensor x = sequence_sums(inputs.policy - inputs.old, batch);
    const at::Tensor members = sum_over_group(at::ones_like(x), groups).clamp_min(1);
    const at::Tensor centred = x - sum_over_group(x, groups) / members;
    const at::Tensor variance =
        sum_over_group(centred * centred, groups) / (members - 1).clamp_min(1);
    const at::Tensor has_spread = variance >= kSmallestStd * kSmallestStd;
    // The root's slope at 0 is infinite, also where its value is not used.
    const at::Tensor std = at::where(has_spread, variance, 1.0).sqrt();
    const at::Tensor difference = advantages - centred / std;
    return (difference * difference).index_select(0, batch.sequence_index);
  }

  bool learns_without_advantage() const override { return true; }
  bool needs_whole_groups() const override { return true; }
};

SGRPO_REGISTER_LOSS("reg", Reg);

}  // namespace
}  // namespace sgrpo::algorithm
