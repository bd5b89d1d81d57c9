// Checks that every backend of group_advantage makes at its door.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

namespace sgrpo::ops {

/// Throws c10::ValueError or c10::TypeError naming the argument that breaks the op's schema.
inline void check_group_advantage(const at::Tensor& rewards, const at::Tensor& valid, int64_t std) {
  TORCH_CHECK_VALUE(rewards.dim() == 2,
                    "group_advantage: rewards has shape ",
                    rewards.sizes(),
                    ", expected [P, G]");
  TORCH_CHECK_VALUE(valid.sizes() == rewards.sizes(),
                    "group_advantage: valid has shape ",
                    valid.sizes(),
                    ", expected that of rewards, ",
                    rewards.sizes());
  TORCH_CHECK_TYPE(rewards.scalar_type() == at::kDouble,
                   "group_advantage: rewards is ",
                   rewards.scalar_type(),
                   ", expected Double");
  TORCH_CHECK_TYPE(valid.scalar_type() == at::kBool,
                   "group_advantage: valid is ",
                   valid.scalar_type(),
                   ", expected Bool");
  TORCH_CHECK_VALUE(rewards.is_contiguous() && valid.is_contiguous(),
                    "group_advantage: rewards and valid must be contiguous");
  TORCH_CHECK_VALUE(valid.device() == rewards.device(),
                    "group_advantage: valid is on ",
                    valid.device(),
                    ", rewards on ",
                    rewards.device());
  TORCH_CHECK_VALUE(std >= 0 && std <= 2,
                    "group_advantage: std is ",
                    std,
                    ", expected 0 (none), 1 (sample) or 2 (population)");
}

}  // namespace sgrpo::ops
