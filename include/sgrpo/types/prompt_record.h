// One data row after parsing and before encoding; no tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sgrpo/core/json.h"

namespace sgrpo {

/// One piece of a message: literal text, or the place of the next image.
struct ContentPart {
  enum class Kind { kText, kImage };
  Kind kind = Kind::kText;
  std::string text;  // empty for an image

  bool operator==(const ContentPart&) const = default;
};

/// One chat turn.
struct Message {
  std::string role;  // system, user or assistant
  std::vector<ContentPart> content;

  bool operator==(const Message&) const = default;
};

/// What an image part asks of its picture's size, in the keys of Qwen's own tools; it wins over the
/// run's limits.
struct ImageLimits {
  std::optional<int64_t> min_pixels = {}, max_pixels = {};
  std::optional<int64_t> resized_height = {}, resized_width = {};  // both, or neither

  bool operator==(const ImageLimits&) const = default;
};

/// A picture of a row: a file, or the bytes of one that the row itself holds.
struct ImageSource {
  std::filesystem::path path = {};                // absolute or relative to the working directory
  std::shared_ptr<const std::string> bytes = {};  // null: the file at `path`
  int64_t number = 1;                             // among the row's pictures, from 1
  ImageLimits limits = {};

  /// The path, or "the row's image 2" for bytes; for messages.
  std::string name() const {
    return bytes ? "the row's image " + std::to_string(number) : path.string();
  }

  /// Whether both give the same picture in the same size.
  bool operator==(const ImageSource& other) const {
    const bool has_same_bytes =
        bytes && other.bytes ? *bytes == *other.bytes : bytes == other.bytes;
    return path == other.path && limits == other.limits && has_same_bytes;
  }
};

/// Where a row came from, for messages.
struct RowSource {
  std::string file;
  int64_t line = 0;  // counted from 1
  std::string str() const { return file + ":" + std::to_string(line); }
};

/// A row of a data file.
struct PromptRecord {
  std::string id;
  std::vector<Message> messages;
  std::vector<ImageSource> images;  // the n-th image part takes the n-th entry
  std::optional<std::string> ground_truth;
  /// What CGI injects, if it differs from ground_truth
  std::optional<std::string> ground_truth_completion;
  std::optional<std::string> completion;  // for sft and logprobs
  bool completion_was_last_turn = false;  // the prompt column ended with it: for sft alone
  std::string verifier;                   // "" = the run's default
  std::string task;                       // "" = none
  core::Json columns;                     // the whole row, handed to verifiers
  RowSource source;

  /// The text that CGI injects: ground_truth_completion, else ground_truth.
  const std::optional<std::string>& injected_text() const {
    return ground_truth_completion ? ground_truth_completion : ground_truth;
  }

  /// Throws ContractError if image parts and image paths differ in number or a role is unknown.
  void validate() const;
};

}  // namespace sgrpo
