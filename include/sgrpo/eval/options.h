// Section `eval` of the configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sgrpo/config/fields.h"

namespace sgrpo::eval {

struct EvalOptions {
  int64_t every = 0;
  bool at_start = true;
  int64_t samples = 1;
  double temperature = 0.0;
  std::vector<int64_t> k = {1};
  std::optional<int64_t> max_new_tokens;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("every",
          every,
          FieldInfo{.help = "evaluate after every so many steps; 0 = never",
                    .unit = "steps",
                    .low = 0,
                    .high = 1e12});
    visit("at_start",
          at_start,
          FieldInfo{.help = "evaluate before the first step (the metrics row of step 0)"});
    visit("samples",
          samples,
          FieldInfo{.help = "completions per row", .unit = "completions", .low = 1, .high = 65536});
    visit("temperature", temperature, FieldInfo{.help = "0 = greedy", .low = 0, .high = 1e3});
    visit(
        "k",
        k,
        FieldInfo{.help = "k of pass@k and maj@k, each at most samples", .low = 1, .high = 65536});
    visit("max_new_tokens",
          max_new_tokens,
          FieldInfo{
              .help = "null = rollout.max_new_tokens", .unit = "tokens", .low = 1, .high = 1e6});
  }
};

}  // namespace sgrpo::eval
