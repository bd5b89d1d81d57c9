// A tiny checkpoint opened for use, and prompts with 0, 1 or 2 images.
#pragma once

#include <ATen/Parallel.h>

#include <memory>
#include <string>
#include <vector>

#include "policy/language_policy.h"
#include "testing/png.h"
#include "testing/scratch.h"
#include "testing/tiny_checkpoint.h"

namespace sgrpo::testing {

using Prompts = std::vector<std::shared_ptr<const EncodedPrompt>>;

/// The groups of all requests, in their order.
inline std::vector<RolloutGroup> sample_all(const policy::Policy& policy,
                                            const std::vector<SamplingRequest>& requests) {
  std::vector<RolloutGroup> groups(requests.size());
  policy.sample(requests,
                [&](size_t request, RolloutGroup&& group) { groups[request] = std::move(group); });
  return groups;
}

/// A tiny checkpoint with its folder.
class TinyPolicy {
 public:
  explicit TinyPolicy(const TinyCheckpoint& tiny = {}, const model::ModelOptions& options = {}) {
    at::set_num_threads(1);  // a tiny model is slower on two
    write_tiny_checkpoint(scratch_ / "model", tiny);
    policy_ = policy::open(scratch_ / "model", options, {});
  }

  /// One Qwen2.5-VL for all tests of a process.
  static const TinyPolicy& instance() {
    static const TinyPolicy policy;
    return policy;
  }

  policy::LanguagePolicy& policy() const { return dynamic_cast<policy::LanguagePolicy&>(*policy_); }
  const model::Model& model() const { return policy().model(); }

  /// A prompt about `num_images` pictures of different sizes.
  std::shared_ptr<const EncodedPrompt> prompt(const std::string& text,
                                              int64_t num_images = 0,
                                              uint32_t seed = 0) const {
    core::Json row = {{"id", text}, {"prompt", text}, {"images", core::Json::array()}};
    for (int64_t i = 0; i < num_images; ++i) {
      const auto width = static_cast<uint32_t>(28 + 14 * i);
      const std::string name = core::str("img-", width, "-", seed, ".png");
      row["images"].push_back(scratch_.write(name, make_png(width, 28, seed)));
    }
    const RowSource source{.file = (scratch_ / "rows.jsonl").string(), .line = 1};
    return std::make_shared<const EncodedPrompt>(policy_->encoder()->encode(
        std::make_shared<const PromptRecord>(data::parse_row(row, source, {}))));
  }

  /// Prompts of different lengths with 0, 1 and 2 images; without any for a text model.
  Prompts prompts() const {
    Prompts result;
    if (!model().spec().has_vision) {
      for (const char* text : {"what is this", "which item is this, a shoe or a bag?", "a"})
        result.push_back(prompt(text));
      return result;
    }
    result.push_back(prompt("what is this"));
    result.push_back(prompt("which item is this, a shoe or a bag? Look at it twice.", 1, 3));
    result.push_back(prompt("left or right?", 2, 5));
    result.push_back(prompt("is the background dark", 1, 8));
    result.push_back(prompt("a"));
    return result;
  }

 private:
  Scratch scratch_;
  std::unique_ptr<policy::Policy> policy_;
};

}  // namespace sgrpo::testing
