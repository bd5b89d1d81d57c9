#include "algorithm/loss/groups.h"

#include <algorithm>
#include <map>
#include <vector>

#include "algorithm/loss/terms.h"
#include "sgrpo/types/host_read.h"

namespace sgrpo::algorithm {

Groups groups_of(const LossBatch& batch) {
  const at::NoGradGuard no_grad;
  const at::Tensor lengths =
      read_on_host(sequence_sums(batch.in_loss().to(at::kLong), batch)).contiguous();
  const auto* length = lengths.const_data_ptr<int64_t>();
  std::map<int64_t, int64_t> known;
  std::vector<int64_t> sizes, of_sequence, place;
  for (int64_t b = 0; b < batch.num_sequences(); ++b) {
    if (length[b] == 0) {
      of_sequence.push_back(-1);
      place.push_back(0);
      continue;
    }
    const int64_t name = batch.group[static_cast<size_t>(b)];
    auto found = name < 0 ? known.end() : known.find(name);
    int64_t group = static_cast<int64_t>(sizes.size());
    if (found != known.end()) group = found->second;
    if (found == known.end()) sizes.push_back(0);
    if (found == known.end() && name >= 0) known[name] = group;
    of_sequence.push_back(group);
    place.push_back(sizes[static_cast<size_t>(group)]++);
  }
  const auto count = static_cast<int64_t>(sizes.size());
  std::replace(of_sequence.begin(), of_sequence.end(), int64_t{-1}, count);
  const auto tensor = [&](const std::vector<int64_t>& values) {
    return at::tensor(values, at::kLong).to(batch.sequence_index.device());
  };
  return {.count = count,
          .largest = count == 0 ? 0 : *std::max_element(sizes.begin(), sizes.end()),
          .of_sequence = tensor(of_sequence),
          .place = tensor(place),
          .sizes = tensor(sizes)};
}

at::Tensor by_group(const at::Tensor& values, const Groups& groups, double fill) {
  return at::full({groups.count + 1, std::max<int64_t>(groups.largest, 1)}, fill, values.options())
      .index_put({groups.of_sequence, groups.place}, values)
      .narrow(0, 0, groups.count);
}

at::Tensor sum_over_group(const at::Tensor& values, const Groups& groups) {
  const at::Tensor sums = at::zeros({groups.count + 1}, values.options())
                              .index_add(0, groups.of_sequence, values)
                              .index_select(0, groups.of_sequence);
  return at::where(groups.of_sequence < groups.count, sums, 0.0);
}

}  // namespace sgrpo::algorithm
