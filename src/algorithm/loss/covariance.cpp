#include "algorithm/loss/covariance.h"

#include <algorithm>
#include <limits>

namespace sgrpo::algorithm {
namespace {

at::Tensor all_columns(const LossInputs& inputs) {
  return at::stack({inputs.batch.advantages, inputs.policy.detach()}, 1).to(at::kDouble);
}

}  // namespace

at::Tensor covariance_columns(const LossInputs& inputs) {
  return at::where(inputs.batch.in_loss().unsqueeze(1),
                   all_columns(inputs),
                   std::numeric_limits<double>::quiet_NaN());
}

at::Tensor covariance(const at::Tensor& tokens, const at::Tensor& all) {
  const at::Tensor mean = all.narrow(1, 0, 2).mean(0);
  return (tokens.narrow(1, 0, 2) - mean).prod(1);
}

at::Tensor covariance_of_batch(const LossInputs& inputs) {
  TORCH_CHECK_VALUE(inputs.context.statistics.defined(),
                    "this loss chooses among a step's tokens: no statistics in context");
  return covariance(all_columns(inputs), inputs.context.statistics);
}

int64_t share_of(double share, int64_t count) {
  return std::max<int64_t>(static_cast<int64_t>(share * static_cast<double>(count)), 1);
}

}  // namespace sgrpo::algorithm
