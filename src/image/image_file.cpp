#include "sgrpo/image/image_file.h"

#include "image/decode.h"
#include "image/decode_budget.h"
#include "sgrpo/core/file.h"

namespace sgrpo::image {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;
/// Working memory of all decoders together, unless one image alone needs more.
constexpr int64_t kDecodeBytes = int64_t{1} << 30;

DecodeBudget& shared_budget() {
  static DecodeBudget budget(kDecodeBytes);
  return budget;
}

}  // namespace

struct ImageFile::State {
  std::string where;
  std::shared_ptr<const std::string> bytes;
  ImageHeader header;  // holds views of `bytes`
};

ImageFile::ImageFile(const ImageSource& source) {
  auto state = std::make_unique<State>();
  state->where = source.name();
  state->bytes = source.bytes;
  if (!state->bytes)
    state->bytes = std::make_shared<const std::string>(core::read_file(source.path, kMaxFileBytes));
  state->header = read_checked_header(*state->bytes, state->where, kMaxDecodedPixels);
  state_ = std::move(state);
}

ImageFile::~ImageFile() = default;
ImageFile::ImageFile(ImageFile&&) noexcept = default;
ImageFile& ImageFile::operator=(ImageFile&&) noexcept = default;

ImageSize ImageFile::size() const { return upright_size(state_->header); }

int64_t ImageFile::num_tokens(const ProcessorConfig& config) const {
  try {
    return num_tokens_of(size(), config);
  } catch (const core::UserError& error) {
    throw core::UserError(core::str(state_->where, ": ", error.what()));
  }
}

RgbImage ImageFile::decode() const {
  const auto hold = shared_budget().take(decoding_bytes(state_->header));
  return decode_checked(*state_->bytes, state_->header, state_->where);
}

PixelPatches ImageFile::patches(const ProcessorConfig& config) const {
  num_tokens(config);  // an impossible shape is refused before its pixels are decoded
  const auto hold = shared_budget().take(decoding_bytes(state_->header));
  return preprocess(decode_checked(*state_->bytes, state_->header, state_->where), config);
}

PixelPatches load_image(const ImageSource& source, const ProcessorConfig& config) {
  return ImageFile(source).patches(config);
}

}  // namespace sgrpo::image
