// One data row after parsing and before encoding; no tensors.
#pragma once

#include <cstdint>
#include <filesystem>
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
};

/// One chat turn.
struct Message {
  std::string role;  // system, user or assistant
  std::vector<ContentPart> content;
};

/// Where a row came from, for messages.
struct RowSource {
  std::string file;
  int64_t line = 0;  // counted from 1
  std::string str() const { return file + ":" + std::to_string(line); }
};

/// A row of a data file. `images` are absolute or relative to the working directory (already
/// resolved).
struct PromptRecord {
  std::string id;
  std::vector<Message> messages;
  std::vector<std::filesystem::path> images;  // the n-th image part takes the n-th entry
  std::optional<std::string> ground_truth;
  std::optional<std::string>
      ground_truth_completion;            // what CGI injects, if it differs from ground_truth
  std::optional<std::string> completion;  // for sft and logprobs
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
