// sgrpo plan: memory per component and the batch equation, before any allocation.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include "cli/machine.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/text.h"
#include "sgrpo/trainer/load_config.h"
#include "sgrpo/trainer/plan.h"
#include "sgrpo/trainer/trainer.h"

namespace sgrpo::cli {
namespace {

using core::Json;
using trainer::MemoryPart;
using trainer::MemoryPlan;
using trainer::Phase;

/// "12.34 GiB", or MiB below one GiB.
std::string readable(uint64_t bytes) {
  const bool is_large = bytes >= uint64_t{1} << 30;
  char text[32];
  std::snprintf(text,
                sizeof(text),
                "%.2f %s",
                static_cast<double>(bytes) / (is_large ? 1 << 30 : 1 << 20),
                is_large ? "GiB" : "MiB");
  return text;
}

void print_line(const std::string& name, uint64_t bytes, const std::string& remark) {
  char text[64];
  std::snprintf(text, sizeof(text), "%-24s %14s  ", name.c_str(), readable(bytes).c_str());
  std::cout << text << remark << "\n";
}

struct Plan {
  static constexpr const char* kSummary =
      "memory per component and the batch equation, before any allocation";
  static constexpr bool kTakesConfig = true;

  static std::string details() {
    return "Reads config.json and the headers of the weights. Weights, gradients, AdamW, reference "
           "and KV\ncache are exact and at their worst; activations are an estimate whose formula "
           "is printed.\nA plan that does not fit is a warning, not a failure.\n";
  }

  int run(const Invocation& invocation) {
    const trainer::RunConfig config =
        trainer::load_run_config(invocation.config, invocation.overrides);
    config::require(config, {"model.path"});
    const MemoryPlan plan = trainer::plan_memory(config);
    const Memory memory = read_memory();
    // The control group's limit counts what the group uses already, which MemAvailable leaves out.
    const uint64_t available =
        memory.limit == 0 ? memory.available : std::min(memory.available, memory.limit);
    if (invocation.json) {
      std::cout << core::dump_ascii(to_json(config, plan, available)) << "\n";
    } else {
      print(config, plan, available);
    }
    warn(config, plan, available);
    return 0;
  }

 private:
  static bool fits(const MemoryPlan& plan, uint64_t available) {
    return available == 0 || plan.peak_bytes() <= available;
  }

  static Json to_json(const trainer::RunConfig& config,
                      const MemoryPlan& plan,
                      uint64_t available) {
    Json parts = Json::array();
    for (const MemoryPart& part : plan.parts) {
      parts.push_back({{"name", part.name},
                       {"phase", to_string(part.phase)},
                       {"bytes", part.bytes},
                       {"formula", part.formula}});
    }
    Json result = {{"batch", trainer::batch_equation(config)},
                   {"device", plan.device},
                   {"dtype", plan.dtype},
                   {"parameters", plan.num_parameters},
                   {"trainable_parameters", plan.num_trainable},
                   {"components", parts},
                   {"peak_bytes", plan.peak_bytes()}};
    result["available_bytes"] = plan.device == "cpu" ? Json(available) : Json();
    result["fits"] = plan.device == "cpu" ? Json(fits(plan, available)) : Json();
    return result;
  }

  static void print(const trainer::RunConfig& config, const MemoryPlan& plan, uint64_t available) {
    std::cout << trainer::batch_equation(config) << "\n"
              << plan.num_parameters << " parameters, " << plan.num_trainable << " of them train; "
              << plan.dtype << " on " << plan.device << "\n";
    for (const Phase phase : {Phase::kAlways, Phase::kRollout, Phase::kUpdate}) {
      std::cout << "\n";
      for (const MemoryPart& part : plan.parts) {
        if (part.phase == phase) print_line("  " + part.name, part.bytes, part.formula);
      }
      print_line(std::string(to_string(phase)), plan.bytes_of(phase), "");
    }
    std::cout << "\n";
    print_line("peak", plan.peak_bytes(), "always + the larger of rollout and update");
    if (plan.device == "cpu") print_line("available", available, "");
  }

  /// What makes a plan smaller, only what is not done yet and would be enough.
  static std::vector<std::string> remedies(const trainer::RunConfig& config,
                                           const MemoryPlan& plan,
                                           uint64_t available) {
    std::vector<std::string> ways;
    if (plan.bytes_of(Phase::kAlways) < available) {
      const bool in_rollout = plan.bytes_of(Phase::kRollout) > plan.bytes_of(Phase::kUpdate);
      ways.push_back(in_rollout ? "lower rollout.group_size, rollout.max_new_tokens or "
                                  "data.max_prompt_tokens"
                                : "lower trainer.micro_batch_tokens, rollout.max_new_tokens or "
                                  "data.max_pixels");
    }
    if (config.model.lora.is_null()) {
      ways.push_back("train an adapter (model.lora={rank: 16, alpha: 32, targets: all-linear})");
      if (config.model.freeze.empty()) ways.push_back("freeze a module (model.freeze)");
    }
    // A bfloat16 weight that trains has a float32 master: 4 bytes more for 2 less.
    const bool narrow_pays = 2 * plan.num_trainable < plan.num_parameters;
    if (narrow_pays && plan.dtype == core::name_of(model::Dtype::kFloat32))
      ways.push_back("take model.dtype=bfloat16");
    if (ways.empty()) ways.push_back("take a smaller model");
    return ways;
  }

  static void warn(const trainer::RunConfig& config, const MemoryPlan& plan, uint64_t available) {
    if (plan.device != "cpu" || fits(plan, available)) return;
    core::warn("the plan needs ",
               readable(plan.peak_bytes()),
               ", but ",
               readable(available),
               " are available: ",
               core::join(remedies(config, plan, available), ", or "));
  }
};

SGRPO_REGISTER_COMMAND("plan", Plan);

}  // namespace
}  // namespace sgrpo::cli
