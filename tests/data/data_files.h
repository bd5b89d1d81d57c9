// A folder of rows and images that vanishes with the test, and an encoder over tests/golden/data.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "sgrpo/data/encoder.h"

namespace sgrpo::data {

inline const std::filesystem::path kGolden = std::filesystem::path(SGRPO_TESTS_DIR) / "golden";

/// The text of the UserError that `call` throws.
inline std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const core::UserError& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

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

/// Tests with files of their own; warnings are collected.
class DataFiles : public testing::Test {
 protected:
  DataFiles()
      : folder_(std::filesystem::path(testing::TempDir()) /
                core::str("sgrpo_data_",
                          ::getpid(),
                          "_",
                          testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(folder_);
    core::set_log_sink([this](core::LogLevel, const std::string& message) {
      const std::lock_guard lock(mutex_);
      warnings_.push_back(message);
    });
  }
  ~DataFiles() override {
    core::set_log_sink({});
    std::filesystem::remove_all(folder_);
  }

  std::string write(const std::string& name, const std::string& bytes) {
    std::filesystem::create_directories((folder_ / name).parent_path());
    core::write_file_atomic(folder_ / name, bytes);
    return (folder_ / name).string();
  }
  std::string copy_image(const std::string& file, const std::string& name) {
    return write(name, core::read_file(kGolden / "image" / "files" / file));
  }
  /// Messages without the folder's own path.
  std::string shorten(std::string text) const {
    const std::string prefix = folder_.string() + "/";
    for (size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix, at))
      text.erase(at, prefix.size());
    return text;
  }

  std::filesystem::path folder_;
  std::mutex mutex_;
  std::vector<std::string> warnings_;
};

}  // namespace sgrpo::data
