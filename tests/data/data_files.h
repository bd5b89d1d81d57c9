// A folder of rows and images that vanishes with the test, and an encoder over tests/golden/data.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/data/encoder.h"
#include "testing/scratch.h"

namespace sgrpo::data {

inline const std::filesystem::path kGolden = std::filesystem::path(SGRPO_TESTS_DIR) / "golden";

/// The encoder of the small Qwen2.5-VL folder in tests/golden/data/model.
inline EncoderSpec golden_spec() {
  const std::filesystem::path folder = kGolden / "data" / "model";
  EncoderSpec spec;
  spec.tokenizer = tokenizer::load_tokenizer(folder);
  spec.chat = tokenizer::ChatTemplate::load(folder);
  spec.processor = image::load_processor(folder);
  spec.image_token_id = spec.tokenizer->token_id("<|image_pad|>").value();
  spec.video_token_id = spec.tokenizer->token_id("<|video_pad|>").value();
  spec.turn_end_id = spec.tokenizer->token_id("<|im_end|>").value();
  return spec;
}

/// The text of the UserError that `call` throws.
inline std::string error_of(const std::function<void()>& call) { return testing::message_of(call); }

/// Tests with files of their own; warnings are collected.
class DataFiles : public ::testing::Test {
 protected:
  DataFiles() {
    core::set_log_sink([this](core::LogLevel, const std::string& message) {
      const std::lock_guard lock(mutex_);
      warnings_.push_back(message);
    });
  }
  ~DataFiles() override { core::set_log_sink({}); }

  std::string write(const std::string& name, const std::string& bytes) {
    return scratch_.write(name, bytes);
  }
  std::string copy_image(const std::string& file, const std::string& name) {
    return write(name, core::read_file(kGolden / "image" / "files" / file));
  }
  /// Messages without the folder's own path.
  std::string shorten(const std::string& text) const { return scratch_.shorten(text); }

  testing::Scratch scratch_;
  const std::filesystem::path& folder_ = scratch_.path();
  std::mutex mutex_;
  std::vector<std::string> warnings_;
};

}  // namespace sgrpo::data
