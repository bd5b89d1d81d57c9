// Reads the tensors of golden files. Deliberately small and trusting: the real reader belongs to a
// room that most tests do not link.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "sgrpo/core/json.h"

namespace sgrpo::testing {

/// All of a small file's bytes.
inline std::string read_whole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw core::RunError(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// Tensors of a safetensors file by name, in the header's order.
class GoldenTensors {
 public:
  explicit GoldenTensors(const std::string& path) : path_(path) {
    const std::string bytes = read_whole(path);
    uint64_t header_size = 0;
    std::memcpy(&header_size, bytes.data(), sizeof(header_size));
    const core::Json header =
        core::parse_json(std::string_view(bytes).substr(8, header_size), path);
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      const bool is_integer = entry.at("dtype") == "I64";
      at::Tensor tensor = at::empty(entry.at("shape").get<std::vector<int64_t>>(),
                                    is_integer ? at::kLong : at::kFloat);
      const auto begin = entry.at("data_offsets").at(0).get<size_t>();
      if (tensor.numel() > 0)
        std::memcpy(
            tensor.mutable_data_ptr(), bytes.data() + 8 + header_size + begin, tensor.nbytes());
      tensors_.emplace_back(name, tensor);
    }
  }

  const at::Tensor& at(const std::string& name) const {
    for (const auto& [key, tensor] : tensors_)
      if (key == name) return tensor;
    throw core::RunError(path_ + ": no tensor " + name);
  }
  bool has(const std::string& name) const {
    return std::any_of(
        tensors_.begin(), tensors_.end(), [&](const auto& entry) { return entry.first == name; });
  }
  const std::vector<std::pair<std::string, at::Tensor>>& all() const { return tensors_; }

 private:
  std::string path_;
  std::vector<std::pair<std::string, at::Tensor>> tensors_;
};

}  // namespace sgrpo::testing
