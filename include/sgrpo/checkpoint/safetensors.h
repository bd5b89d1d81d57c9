// safetensors files: strict reading with pread, atomic writing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "sgrpo/core/error.h"

namespace sgrpo::checkpoint {

/// A malformed or mismatching checkpoint file: names file, tensor, what was found and expected.
/// Exit code 2.
class FormatError : public core::UserError {
 public:
  using core::UserError::UserError;
};

/// One tensor's entry in a header.
struct TensorEntry {
  std::string name;
  std::string dtype;  // as written: F64, F32, F16, BF16, I64, I32, I16, I8, U8 or BOOL
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // byte offsets relative to the data section
  uint64_t end = 0;
};

/// An open file: header parsed and checked, data read on demand with pread (never mapped: a
/// truncation while reading is an error, not a signal).
class SafetensorsFile {
 public:
  /// Refuses: header over 100 MB, not starting with '{', duplicate or empty names, overlapping or
  /// missing bytes, offsets beyond the file, unknown dtypes, shape x dtype that does not match the
  /// bytes, overflow. Throws FormatError.
  explicit SafetensorsFile(const std::filesystem::path& path);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;

  const std::filesystem::path& path() const;
  const std::vector<TensorEntry>& entries() const;  // in the file's data order
  const std::map<std::string, std::string>& metadata() const;
  const TensorEntry* find(const std::string& name) const;

  /// A CPU tensor of the file's dtype and shape. Throws FormatError if the file was truncated
  /// meanwhile.
  at::Tensor read(const std::string& name) const;
  /// Raw bytes of a tensor into `destination` (size end - begin).
  void read_bytes(const TensorEntry& entry, void* destination) const;
  /// The header bytes as they are in the file (without the length prefix).
  const std::string& header_text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Writes tensors (CPU or not, contiguous or not) in the given order under a temporary name,
/// fsyncs, renames. Returns the SHA-256 of the file. Throws core::RunError (disk) or ContractError
/// (unsupported dtype).
std::string write_safetensors(const std::filesystem::path& path,
                              const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                              const std::map<std::string, std::string>& metadata = {});

/// A tensor that is made when its turn to be written comes, and let go of behind it.
struct LazyTensor {
  std::string name;
  at::ScalarType dtype = at::ScalarType::Float;
  std::vector<int64_t> shape;
  std::function<at::Tensor()> make;  // called once; of this dtype and shape

  uint64_t bytes() const;
};

/// A tensor that exists already.
LazyTensor as_lazy(const std::string& name, const at::Tensor& tensor);

/// As write_safetensors, with no more than one of the tensors in memory.
std::string write_lazy_safetensors(const std::filesystem::path& path,
                                   const std::vector<LazyTensor>& tensors,
                                   const std::map<std::string, std::string>& metadata = {});

}  // namespace sgrpo::checkpoint
