#include "sgrpo/types/host_read.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace sgrpo {
namespace {

thread_local HostReader::Read stand_in;

/// A copy that the host does not wait for.
at::Tensor start_copy(const at::Tensor& tensor) {
  at::Tensor host = at::empty(tensor.sizes(),
                              at::TensorOptions().dtype(tensor.scalar_type()).pinned_memory(true));
  return host.copy_(tensor, /*non_blocking=*/true);
}

}  // namespace

std::vector<at::Tensor> read_on_host(const std::vector<at::Tensor>& tensors) {
  if (stand_in) return stand_in(tensors);
  const auto is_cuda = [](const at::Tensor& tensor) { return tensor.is_cuda(); };
  int64_t waiting = std::count_if(tensors.begin(), tensors.end(), is_cuda);
  std::vector<at::Tensor> host;
  // A stream copies in order: behind the last copy, which is waited for, all have ended.
  for (const at::Tensor& tensor : tensors)
    host.push_back(tensor.is_cuda() && --waiting > 0 ? start_copy(tensor) : tensor.to(at::kCPU));
  return host;
}

at::Tensor read_on_host(const at::Tensor& tensor) {
  return read_on_host(std::vector<at::Tensor>{tensor}).front();
}

HostReader::HostReader(Read read) : outer_(std::move(stand_in)) { stand_in = std::move(read); }

HostReader::~HostReader() { stand_in = std::move(outer_); }

}  // namespace sgrpo
