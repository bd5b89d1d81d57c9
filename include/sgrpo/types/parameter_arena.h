// What of a policy trains: all that an optimizer, a checkpoint and a reducer know of parameters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace sgrpo {

/// One trainable parameter.
struct ParameterSegment {
  std::string name;    // in the checkpoint
  std::string module;  // vision, merger or language: the unit of freezing
  at::Tensor weight;   // contiguous leaf with requires_grad; its gradient is f32
  /// Narrower on disk than in training: what a save rounds away, and a resume must have.
  bool is_rounded_on_disk = false;
  std::vector<std::string> copies = {};  // tensors of the checkpoint that repeat it (a tied head)
};

/// The trainable parameters in checkpoint order. Today a segment is the parameter's own tensor.
struct ParameterArena {
  std::vector<ParameterSegment> segments;

  /// Number of trainable values.
  int64_t num_values() const;
};

}  // namespace sgrpo
