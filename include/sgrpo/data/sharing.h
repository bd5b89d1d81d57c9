// How several processes read one stream together.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sgrpo::data {

/// This process among those that read the stream. All of them ask for the same batches in the same
/// order; each encodes its own prompts and hears what became of the others'.
struct Sharing {
  int64_t rank = 0, size = 1;
  /// Bytes of each rank, in rank order; not called where there is one rank.
  std::function<std::vector<std::string>(const std::string&)> exchange = {};
};

/// The rank of each of a step's prompts, by what they cost: each rank gets as many as the others,
/// give or take one, and the dear ones are spread first (longest processing time first).
std::vector<int64_t> deal(const std::vector<double>& costs, int64_t ranks);

}  // namespace sgrpo::data
