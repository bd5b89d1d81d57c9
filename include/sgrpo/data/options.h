// Section `data` of the configuration.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "sgrpo/config/fields.h"
#include "sgrpo/core/json.h"

namespace sgrpo::data {

/// What becomes of a row whose prompt is longer than max_prompt_tokens.
enum class OnLongPrompt { kDrop, kError };
constexpr auto names_of(OnLongPrompt) { return std::array{"drop", "error"}; }

struct DataOptions {
  core::Json train = nullptr;  // a path, or a list of {path, weight, from_step, until_step}
  std::map<std::string, std::string> eval;
  std::optional<std::string> baseline;
  std::optional<std::string> image_dir;
  std::optional<std::string> image_root;
  std::optional<int64_t> max_pixels;
  std::optional<int64_t> min_pixels;
  bool shuffle = true;
  int64_t max_prompt_tokens = 4096;
  OnLongPrompt on_long_prompt = OnLongPrompt::kDrop;
  double max_bad_fraction = 0.01;
  std::optional<std::string> ground_truth_template;  // no key of its own: see RowOptions

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("train",
          train,
          FieldInfo{.help = "JSONL file, or a list of {path, weight, from_step, until_step}",
                    .required = true});
    visit("eval", eval, FieldInfo{.help = "split name: JSONL file", .is_path = true});
    visit(
        "baseline",
        baseline,
        FieldInfo{.help = "rows of `eval --output` of a reference: their mean reward by id is the "
                          "column baseline of training rows without one",
                  .is_path = true});
    visit("image_dir",
          image_dir,
          FieldInfo{.help = "folder of relative image paths (default: the data file's folder)",
                    .is_path = true});
    visit(
        "image_root",
        image_root,
        FieldInfo{.help = "if set, every image must resolve beneath this folder", .is_path = true});
    visit("max_pixels",
          max_pixels,
          FieldInfo{.help = "overrides the processor's upper image size",
                    .unit = "pixels",
                    .low = 1,
                    .high = 1e9});
    visit("min_pixels",
          min_pixels,
          FieldInfo{.help = "overrides the processor's lower image size",
                    .unit = "pixels",
                    .low = 1,
                    .high = 1e9});
    visit("shuffle",
          shuffle,
          FieldInfo{.help = "a new order every epoch, a function of seed and epoch"});
    visit("max_prompt_tokens",
          max_prompt_tokens,
          FieldInfo{.help = "longest prompt, image tokens included",
                    .unit = "tokens",
                    .low = 1,
                    .high = 1e7});
    visit("on_long_prompt",
          on_long_prompt,
          FieldInfo{.help = "drop: count and leave out; error: stop the run"});
    visit("max_bad_fraction",
          max_bad_fraction,
          FieldInfo{.help = "the run stops when more than this share of the rows read is bad",
                    .low = 0,
                    .high = 1});
  }
};

}  // namespace sgrpo::data
