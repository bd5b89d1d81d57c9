#include "sgrpo/distributed/communicator.h"

#include <ATen/ATen.h>

namespace sgrpo::distributed {

std::vector<double> Communicator::reduce(std::vector<double> values, Reduction reduction) {
  if (size() == 1 || values.empty()) return values;
  at::Tensor tensor = at::tensor(values, at::TensorOptions().dtype(at::kDouble));
  all_reduce(tensor, reduction)->wait();
  return {tensor.const_data_ptr<double>(), tensor.const_data_ptr<double>() + tensor.numel()};
}

}  // namespace sgrpo::distributed
