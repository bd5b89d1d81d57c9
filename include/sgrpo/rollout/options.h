// Section `rollout` of the configuration.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "sgrpo/config/fields.h"
#include "sgrpo/types/sampling_options.h"

namespace sgrpo::rollout {

/// Which judged groups leave a step for prompts that the stream gives next.
enum class FilterGroups { kOff, kZeroSpread };
constexpr auto names_of(FilterGroups) { return std::array{"off", "zero_spread"}; }

struct RolloutOptions {
  int64_t group_size = 8;
  int64_t max_new_tokens = 256;
  double temperature = 1.0;
  double top_p = 1.0;
  int64_t top_k = 0;
  bool sampling_mask = true;
  std::optional<std::string> replay;
  FilterGroups filter_groups = FilterGroups::kOff;
  int64_t max_generation_rounds = 3;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("group_size",
          group_size,
          FieldInfo{.help = "completions sampled per prompt (G)",
                    .unit = "completions",
                    .low = 1,
                    .high = 65536});
    visit("max_new_tokens",
          max_new_tokens,
          FieldInfo{.help = "longest completion", .unit = "tokens", .low = 1, .high = 1e6});
    visit(
        "temperature",
        temperature,
        FieldInfo{
            .help = "divides the logits, in sampling and scoring alike", .low = 1e-3, .high = 1e3});
    visit("top_p", top_p, FieldInfo{.help = "nucleus sampling; 1 = off", .low = 1e-6, .high = 1});
    visit("top_k",
          top_k,
          FieldInfo{.help = "keep the k likeliest tokens; 0 = off", .low = 0, .high = 1e9});
    visit("sampling_mask",
          sampling_mask,
          FieldInfo{.help = "placeholders and ids beyond the tokenizer get -inf, in sampling and "
                            "scoring alike"});
    visit("replay",
          replay,
          FieldInfo{.help = "train on recorded completions: a JSONL file or a completions/ folder",
                    .is_path = true});
    visit(
        "filter_groups",
        filter_groups,
        FieldInfo{.help = "zero_spread: groups whose rewards are all the same, and that injection "
                          "does not repair, leave the step and the next prompts are sampled in "
                          "their place"});
    visit("max_generation_rounds",
          max_generation_rounds,
          FieldInfo{.help = "of sampling in one step, the first one included, under filter_groups; "
                            "then the step trains on the groups it has",
                    .unit = "rounds",
                    .low = 1,
                    .high = 1000});
  }
};

/// How a run samples; what ends a completion is the policy's to say.
inline SamplingOptions sampling_options(const RolloutOptions& options) {
  return {.max_new_tokens = options.max_new_tokens,
          .temperature = options.temperature,
          .top_p = options.top_p,
          .top_k = options.top_k,
          .sampling_mask = options.sampling_mask,
          .end_token_ids = {}};
}

}  // namespace sgrpo::rollout
