// A prompt as the model takes it: made once by data, used by rollout and training alike.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/types/prompt_record.h"

namespace sgrpo {

/// Patches of one or several images.
struct PixelPatches {
  /// [N, D_patch = channels * temporal * patch * patch] f32 CPU, normalised
  at::Tensor pixel_values;
  at::Tensor grid_thw;  // [I, 3] i64 CPU, in patches
  /// Throws c10::ValueError naming shape, dtype or the first grid that does not add up to N.
  void validate() const;
};

/// A prompt with expanded image placeholders.
struct EncodedPrompt {
  at::Tensor token_ids;     // [S] i64 CPU, generation prompt included
  at::Tensor position_ids;  // [3, S] i64 CPU, rows temporal, height, width
  PixelPatches patches;     // N = 0 and I = 0 for a text prompt (tensors defined, empty)
  /// Placeholders in token_ids, one a feature of an image, in order
  std::vector<int64_t> image_rows;
  std::vector<int64_t> ground_truth_ids;  // [L] with the end token; empty = no ground truth
  std::string stream_hash;  // SHA-256 of ids and pixels: sampling and training must see the same
  std::shared_ptr<const PromptRecord> record;

  int64_t num_tokens() const { return token_ids.defined() ? token_ids.size(0) : 0; }
  int64_t num_images() const { return patches.grid_thw.defined() ? patches.grid_thw.size(0) : 0; }
  /// The position that the first completion token takes in all three rows.
  int64_t next_position() const;
  void validate() const;
};

/// The prompts of one step that this process works on, in order.
struct PromptBatch {
  std::vector<std::shared_ptr<const EncodedPrompt>> prompts;
  /// Key of each prompt's randomness: its position in the data stream.
  std::vector<int64_t> prompt_index;
  /// Each prompt's place among those of all processes.
  std::vector<int64_t> places;
  /// How many of those before it are of a row with the same id.
  std::vector<int64_t> repeats;
  double epoch = 0.0;  // rows read so far, over all rows
};

}  // namespace sgrpo
