#include "sgrpo/checkpoint/safetensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "checkpoint/dtype.h"
#include "checkpoint/header.h"
#include "checkpoint/io.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/text.h"

namespace sgrpo::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

/// Small files that downloads leave in place of weights.
void refuse_stand_in(const InputFile& file) {
  constexpr std::string_view kLfs = "version https://git-lfs.github.com/";
  std::string begin(std::min<uint64_t>(file.size(), kLfs.size()), '\0');
  file.read(0, begin.data(), begin.size());
  if (begin == kLfs) {
    throw FormatError(core::str(file.path().string(),
                                ": a Git LFS pointer, not the weights: run `git lfs pull` in the "
                                "folder, or download the file itself"));
  }
  if (begin.front() == '<') {
    throw FormatError(core::str(file.path().string(),
                                ": not a safetensors file: it begins with '",
                                core::printable(begin.substr(0, 15)),
                                "', as a web page does; download the file again"));
  }
}

std::string read_header(const InputFile& file) {
  const std::string where = file.path().string();
  if (file.size() < kLengthBytes) {
    throw FormatError(
        core::str(where, ": not a safetensors file: ", file.size(), " bytes, expected at least 8"));
  }
  uint64_t bytes = 0;
  file.read(0, &bytes, kLengthBytes);
  if (bytes > file.size() - kLengthBytes) refuse_stand_in(file);
  if (bytes > kMaxHeaderBytes) {
    throw FormatError(core::str(where,
                                ": not a safetensors file: a header of ",
                                bytes,
                                " bytes is announced, at most ",
                                kMaxHeaderBytes,
                                " are accepted"));
  }
  if (bytes > file.size() - kLengthBytes) {
    throw FormatError(core::str(where,
                                ": truncated: the header has ",
                                bytes,
                                " bytes, but only ",
                                file.size() - kLengthBytes,
                                " follow; copy or download the file again"));
  }
  std::string text(bytes, '\0');
  file.read(kLengthBytes, text.data(), bytes);
  return text;
}

}  // namespace

struct SafetensorsFile::Impl {
  explicit Impl(const std::filesystem::path& path)
      : file(path),
        text(read_header(file)),
        data_start(kLengthBytes + text.size()),
        header(parse_header(text, file.size() - data_start, path.string())) {
    for (size_t i = 0; i < header.entries.size(); ++i) index[header.entries[i].name] = i;
  }

  InputFile file;
  std::string text;
  uint64_t data_start;
  Header header;
  std::unordered_map<std::string_view, size_t> index;  // views into header
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : impl_(std::make_unique<Impl>(path)) {}
SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;

const std::filesystem::path& SafetensorsFile::path() const { return impl_->file.path(); }
const std::vector<TensorEntry>& SafetensorsFile::entries() const { return impl_->header.entries; }
const std::map<std::string, std::string>& SafetensorsFile::metadata() const {
  return impl_->header.metadata;
}
const std::string& SafetensorsFile::header_text() const { return impl_->text; }

const TensorEntry* SafetensorsFile::find(const std::string& name) const {
  const auto found = impl_->index.find(name);
  return found == impl_->index.end() ? nullptr : &impl_->header.entries[found->second];
}

void SafetensorsFile::read_bytes(const TensorEntry& entry, void* destination) const {
  impl_->file.read(impl_->data_start + entry.begin, destination, entry.end - entry.begin);
}

at::Tensor SafetensorsFile::read(const std::string& name) const {
  const TensorEntry* entry = find(name);
  if (entry == nullptr) {
    throw FormatError(core::str(path().string(), " has no tensor '", name, "'"));
  }
  at::Tensor tensor = at::empty(entry->shape, find_dtype(entry->dtype)->scalar);
  read_bytes(*entry, tensor.data_ptr());
  if (tensor.scalar_type() == at::kBool) {
    const auto* bytes = static_cast<const uint8_t*>(tensor.const_data_ptr());
    // Any other byte in a C++ bool is undefined behaviour.
    if (std::any_of(bytes, bytes + tensor.numel(), [](uint8_t byte) { return byte > 1; })) {
      throw FormatError(
          core::str(path().string(), ": tensor '", name, "' is BOOL but has bytes above 1"));
    }
  }
  return tensor;
}

namespace {

/// The header text, padded with spaces so that the data starts at a multiple of 8.
std::string header_of(const std::vector<LazyTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  core::Json header = core::Json::object();
  std::unordered_set<std::string_view> names;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  core::Json::object_t& members = header.get_ref<core::Json::object_t&>();
  uint64_t position = 0;
  for (const LazyTensor& tensor : tensors) {
    const std::string& name = tensor.name;
    const Dtype* dtype = find_dtype(tensor.dtype);
    SGRPO_CHECK(dtype != nullptr,
                "tensor '",
                name,
                "' has dtype ",
                tensor.dtype,
                ", which safetensors files of ours cannot hold");
    SGRPO_CHECK(!name.empty() && name != "__metadata__" && names.insert(name).second,
                "tensor name '",
                name,
                "' is empty, reserved or used twice");
    const uint64_t end = position + tensor.bytes();
    // Appended directly: operator[] of an ordered object searches all earlier names.
    members.push_back({name,
                       {{"dtype", std::string(dtype->name)},
                        {"shape", tensor.shape},
                        {"data_offsets", {position, end}}}});
    position = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

uint64_t LazyTensor::bytes() const {
  return static_cast<uint64_t>(c10::multiply_integers(shape)) * c10::elementSize(dtype);
}

LazyTensor as_lazy(const std::string& name, const at::Tensor& tensor) {
  return {
      .name = name, .dtype = tensor.scalar_type(), .shape = tensor.sizes().vec(), .make = [tensor] {
        return tensor;
      }};
}

std::string write_lazy_safetensors(const std::filesystem::path& path,
                                   const std::vector<LazyTensor>& tensors,
                                   const std::map<std::string, std::string>& metadata) {
  const std::string text = header_of(tensors, metadata);
  const uint64_t header_bytes = text.size();
  SGRPO_CHECK(header_bytes <= kMaxHeaderBytes, "a header of ", header_bytes, " bytes is too long");
  uint64_t total = kLengthBytes + header_bytes;
  for (const LazyTensor& tensor : tensors) total += tensor.bytes();

  const std::filesystem::path temporary = temporary_beside(path);
  OutputFile file(temporary, total);
  file.write(&header_bytes, kLengthBytes);
  file.write(text.data(), header_bytes);
  for (const LazyTensor& tensor : tensors) {
    const at::Tensor made = tensor.make();
    SGRPO_CHECK(made.scalar_type() == tensor.dtype && made.sizes() == tensor.shape,
                "tensor '",
                tensor.name,
                "' was made as ",
                made.scalar_type(),
                " ",
                made.sizes(),
                ", announced as ",
                tensor.dtype,
                " ",
                at::IntArrayRef(tensor.shape));
    const at::Tensor bytes = made.detach().to(at::kCPU).contiguous();
    file.write(bytes.const_data_ptr(), bytes.nbytes());
  }
  const std::string digest = file.finish();
  rename_path(temporary, path);
  core::sync_folder(path.parent_path());
  return digest;
}

std::string write_safetensors(const std::filesystem::path& path,
                              const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  std::vector<LazyTensor> held;
  for (const auto& [name, tensor] : tensors) held.push_back(as_lazy(name, tensor));
  return write_lazy_safetensors(path, held, metadata);
}

}  // namespace sgrpo::checkpoint
