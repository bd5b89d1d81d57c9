// What became of one position of the stream, on this rank or on another.
#pragma once

#include <cstdint>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include "sgrpo/data/encoder.h"
#include "sgrpo/data/sharing.h"

namespace sgrpo::data {

/// A row that cannot be used, and why.
struct Rejection {
  int64_t row = 0;
  RecordError error;
  bool is_long = false;
};

struct SlotResult {
  EncodedPrompt prompt;  // of this rank's positions alone
  size_t list = 0;
  int64_t row = -1;  // the row that was taken; -1: none
  bool is_replaced = false;
  std::string pixel_hash;
  int64_t num_tokens = 0, num_image_tokens = 0;  // of the prompt
  std::vector<Rejection> rejections;             // rows found unusable on the way
  ImageCost cost;                                // of the prompt's own images
  std::exception_ptr failure;                    // not a row's fault
};

using Results = std::map<int64_t, SlotResult>;  // by position

/// Adds what the other ranks found at theirs. A failure of theirs becomes core::RunError naming the
/// rank. Throws core::RunError if two ranks took one position.
Results exchange_results(Results own, const Sharing& sharing);

}  // namespace sgrpo::data
