// ModelFolder's writing side: the same files again, with some tensors replaced.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "checkpoint/dtype.h"
#include "checkpoint/io.h"
#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;

WrittenFile copy_file(const InputFile& input, const fs::path& to, const fs::path& name) {
  OutputFile output(to, input.size());
  output.copy(input, 0, input.size());
  return {name.string(), input.size(), output.finish()};
}

/// The tensor as the file stores it: its dtype, on the CPU, contiguous.
at::Tensor as_stored(const at::Tensor& value, const TensorEntry& entry) {
  SGRPO_CHECK(value.sizes() == at::IntArrayRef(entry.shape),
              "new value of tensor '",
              entry.name,
              "' has shape ",
              value.sizes(),
              ", expected ",
              at::IntArrayRef(entry.shape));
  return value.detach().to(at::kCPU, find_dtype(entry.dtype)->scalar).contiguous();
}

/// How much of a change is lost where it is written in fewer digits, over many tensors: squares of
/// the change, and of what rounding takes from it.
struct RoundingLoss {
  double change = 0.0, lost = 0.0;

  void add(const at::Tensor& before, const at::Tensor& after, const at::Tensor& stored) {
    const at::Tensor wide = after.detach().to(at::kCPU, at::kFloat);
    const auto square = [&](const at::Tensor& other) {
      return (wide - other.to(at::kFloat)).square().sum(at::kDouble).item<double>();
    };
    change += square(before);
    lost += square(stored);
  }
  /// Of the change's norm.
  double share() const { return change > 0.0 ? std::sqrt(lost / change) : 0.0; }
};

/// From this share on a saved model is visibly not the trained one.
constexpr double kVisibleLoss = 0.1;

bool is_rounded(const at::Tensor& value, const TensorEntry& entry) {
  return value.is_floating_point() && static_cast<size_t>(value.element_size()) >
                                          c10::elementSize(find_dtype(entry.dtype)->scalar);
}

/// Through the file as it was opened, so that a replaced path cannot mix two versions.
void copy_tensor(const SafetensorsFile& file, const TensorEntry& entry, OutputFile& output) {
  std::vector<char> buffer(std::min(entry.end - entry.begin, kChunkBytes));
  TensorEntry piece;
  for (piece.begin = entry.begin; piece.begin < entry.end; piece.begin = piece.end) {
    piece.end = std::min(entry.end, piece.begin + kChunkBytes);
    file.read_bytes(piece, buffer.data());
    output.write(buffer.data(), piece.end - piece.begin);
  }
}

}  // namespace

WrittenFile ModelFolder::write_weights(
    const SafetensorsFile& file,
    const fs::path& destination,
    const std::function<at::Tensor(const std::string&)>& updated) const {
  const uint64_t header_bytes = file.header_text().size();
  const uint64_t data_bytes = file.entries().empty() ? 0 : file.entries().back().end;
  const uint64_t total = sizeof header_bytes + header_bytes + data_bytes;
  OutputFile output(destination, total);
  output.write(&header_bytes, sizeof header_bytes);
  output.write(file.header_text().data(), header_bytes);
  // Entries lie in data order without holes, so writing them in turn rebuilds the layout.
  for (const TensorEntry& entry : file.entries()) {
    const at::Tensor value = updated(entry.name);
    if (value.defined()) {
      const at::Tensor stored = as_stored(value, entry);
      output.write(stored.const_data_ptr(), stored.nbytes());
    } else {
      copy_tensor(file, entry, output);
    }
  }
  return {file.path().filename().string(), total, output.finish()};
}

std::vector<WrittenFile> ModelFolder::write_like(
    const fs::path& destination,
    const std::function<at::Tensor(const std::string&)>& updated) const {
  const fs::path target = new_folder_path(destination);
  TemporaryFolder temporary(temporary_beside(target));
  std::vector<WrittenFile> written;
  for (const SafetensorsFile& file : files_) {
    written.push_back(write_weights(file, temporary.path() / file.path().filename(), updated));
  }
  for (const auto& [name, input] : others_) {
    const fs::path parent = (temporary.path() / name).parent_path();
    if (name.has_parent_path()) make_folder(parent);
    written.push_back(copy_file(*input, temporary.path() / name, name));
    if (name.has_parent_path()) core::sync_folder(parent);
  }
  temporary.publish(target);
  return written;
}

ModelWriter ModelFolder::writer(std::function<at::Tensor(const std::string&)> updated) const {
  const auto write = [this, updated = std::move(updated)](const fs::path& destination) {
    RoundingLoss loss;
    std::string dtype;
    const auto measured = [&](const std::string& name) {
      const at::Tensor value = updated(name);
      if (!value.defined() || !is_rounded(value, entry(name))) return value;
      dtype = entry(name).dtype;
      loss.add(read(name), value, as_stored(value, entry(name)));
      return value;
    };
    std::vector<WrittenFile> written = write_like(destination, measured);
    if (loss.share() >= kVisibleLoss) {
      core::warn("the model/ of this save is ",
                 dtype,
                 " as its input is, and rounding takes ",
                 std::lround(100.0 * loss.share()),
                 " % of what was learned since ",
                 folder_.string(),
                 "; the checkpoint keeps the float32 weights: give its own folder, not model/, to "
                 "eval, generate, export or train (or train from float32 files, or with a larger "
                 "optim.lr)");
    }
    return written;
  };
  return {.bytes = bytes(), .write = write};
}

}  // namespace sgrpo::checkpoint
