// The parts of a checkpoint folder that need no weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "sgrpo/data/encoder.h"
#include "sgrpo/image/processor.h"

namespace sgrpo::cli {

/// The folder itself if it holds any of a model's small files (a folder with a tokenizer alone is
/// enough), else the model folder meant by a checkpoint or run. Throws as
/// checkpoint::ModelFolder.
std::filesystem::path small_files_folder(const std::filesystem::path& path);

/// Image sizes that the command line sets; the folder's own where empty.
struct PixelLimits {
  std::optional<int64_t> min_pixels, max_pixels;
};

/// The folder's image processor with these limits. Throws core::UserError if it has none, or the
/// limits cross.
image::ProcessorConfig load_image_processor(const std::filesystem::path& folder,
                                            const PixelLimits& limits);

/// What an encoder needs of the folder: tokenizer, template, processor, placeholder ids.
data::EncoderSpec load_encoder_spec(const std::filesystem::path& folder,
                                    std::shared_ptr<const tokenizer::Tokenizer> tokenizer);

}  // namespace sgrpo::cli
