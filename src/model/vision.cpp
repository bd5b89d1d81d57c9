#include "model/vision.h"

#include <ATen/ATen.h>

namespace sgrpo::model {

at::Tensor patch_positions(const at::Tensor& grid_thw, int64_t merge_size) {
  std::vector<int64_t> positions;
  const auto grid = grid_thw.accessor<int64_t, 2>();
  for (int64_t image = 0; image < grid_thw.size(0); ++image) {
    const int64_t frames = grid[image][0], height = grid[image][1], width = grid[image][2];
    for (int64_t block = 0; block < frames * (height / merge_size) * (width / merge_size);
         ++block) {
      const int64_t in_frame = block % ((height / merge_size) * (width / merge_size));
      const int64_t top = in_frame / (width / merge_size) * merge_size;
      const int64_t left = in_frame % (width / merge_size) * merge_size;
      for (int64_t inside = 0; inside < merge_size * merge_size; ++inside) {
        positions.push_back(top + inside / merge_size);
        positions.push_back(left + inside % merge_size);
      }
    }
  }
  return at::tensor(positions, at::kLong).view({-1, 2});
}

ops::AttentionPlan plan_of_frames(const at::Tensor& grid_thw) {
  std::vector<int64_t> lengths;
  const auto grid = grid_thw.accessor<int64_t, 2>();
  for (int64_t image = 0; image < grid_thw.size(0); ++image) {
    lengths.insert(
        lengths.end(), static_cast<size_t>(grid[image][0]), grid[image][1] * grid[image][2]);
  }
  return ops::AttentionPlan::of_lengths(lengths, /*causal=*/false);
}

}  // namespace sgrpo::model
