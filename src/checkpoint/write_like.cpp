// ModelFolder's writing side: the same files again, with some tensors replaced.
#include <ATen/ATen.h>

#include <algorithm>
#include <system_error>

#include "checkpoint/dtype.h"
#include "checkpoint/io.h"
#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/file.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;

ModelFolder::Written copy_file(const fs::path& from, const fs::path& to, const std::string& name) {
  const InputFile input(from);
  OutputFile output(to, input.size());
  output.copy(input, 0, input.size());
  return {name, input.size(), output.finish()};
}

void refuse_destination(const fs::path& destination) {
  std::error_code error;
  const bool is_free = !fs::exists(fs::symlink_status(destination, error)) ||
                       (fs::is_directory(destination, error) && fs::is_empty(destination, error));
  if (!is_free) {
    throw core::UserError(core::str(destination.string(),
                                    " exists already and is not an empty folder; give a new one"));
  }
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

ModelFolder::Written ModelFolder::write_weights(
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

std::vector<ModelFolder::Written> ModelFolder::write_like(
    const fs::path& destination,
    const std::function<at::Tensor(const std::string&)>& updated) const {
  const fs::path target = fs::absolute(destination / "").parent_path();  // no trailing slash
  refuse_destination(target);
  make_folder(target.parent_path());
  TemporaryFolder temporary(temporary_beside(target));
  std::vector<Written> written;
  for (const SafetensorsFile& file : files_) {
    written.push_back(write_weights(file, temporary.path() / file.path().filename(), updated));
  }
  for (const fs::path& file : other_files()) {
    if (file.has_parent_path()) make_folder(temporary.path() / file.parent_path());
    written.push_back(copy_file(folder_ / file, temporary.path() / file, file.string()));
    if (file.has_parent_path()) core::sync_folder(temporary.path() / file.parent_path());
  }
  core::sync_folder(temporary.path());
  rename_path(temporary.path(), target);
  temporary.release();
  core::sync_folder(target.parent_path());
  return written;
}

}  // namespace sgrpo::checkpoint
