// The one door through which a step's numbers come from the device to the host.
#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace sgrpo {

/// The tensors' values on the CPU, dtypes as they are: the host waits for the device once, however
/// many tensors there are. Tensors of the CPU are returned as they are.
std::vector<at::Tensor> read_on_host(const std::vector<at::Tensor>& tensors);
at::Tensor read_on_host(const at::Tensor& tensor);

/// Stands in for the door on this thread while it lives: tests count what a step reads, and give
/// values to devices that hold none.
class HostReader {
 public:
  using Read = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

  explicit HostReader(Read read);
  ~HostReader();
  HostReader(const HostReader&) = delete;
  HostReader& operator=(const HostReader&) = delete;

 private:
  Read outer_;
};

}  // namespace sgrpo
