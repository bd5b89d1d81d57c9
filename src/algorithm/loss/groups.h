// The groups of a micro-batch, for losses that compare the members of a group.
#pragma once

#include <cstdint>

#include <ATen/ATen.h>

#include "sgrpo/algorithm/loss.h"

namespace sgrpo::algorithm {

/// Where a micro-batch's sequences stand in their groups. A sequence without a decision in the loss
/// is in none; one whose group is -1 is a group of its own.
struct Groups {
  int64_t count = 0;       // G
  int64_t largest = 0;     // K: members of the largest
  at::Tensor of_sequence;  // [B] i64: the group, or G for none
  at::Tensor place;        // [B] i64: the place among its members, 0 for none
  at::Tensor sizes;        // [G] i64
};

Groups groups_of(const LossBatch& batch);

/// values [B] -> [G, K] with `fill` where a group has no such member.
at::Tensor by_group(const at::Tensor& values, const Groups& groups, double fill);

/// values [B] -> their sums over each sequence's group [B]; 0 for a sequence in none.
at::Tensor sum_over_group(const at::Tensor& values, const Groups& groups);

}  // namespace sgrpo::algorithm
