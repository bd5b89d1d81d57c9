// Section `optim` of the configuration.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "sgrpo/config/fields.h"

namespace sgrpo::optim {

enum class WeightDecayOn { kMatrices, kAll };
constexpr auto names_of(WeightDecayOn) { return std::array{"matrices", "all"}; }

enum class Schedule { kConstant, kLinear, kCosine };
constexpr auto names_of(Schedule) { return std::array{"constant", "linear", "cosine"}; }

struct OptimOptions {
  double lr = 1.0e-6;
  std::vector<double> betas = {0.9, 0.999};
  double eps = 1.0e-8;
  double weight_decay = 0.0;
  WeightDecayOn weight_decay_on = WeightDecayOn::kMatrices;
  int64_t warmup_steps = 0;
  Schedule schedule = Schedule::kConstant;
  double min_lr_frac = 0.0;
  std::optional<int64_t> schedule_steps;
  double max_grad_norm = 1.0;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("lr", lr, FieldInfo{.help = "peak learning rate", .low = 0, .high = 100});
    visit(
        "betas",
        betas,
        FieldInfo{.help = "AdamW's decay rates of the two moments", .low = 0, .high = 0.999999999});
    visit("eps", eps, FieldInfo{.help = "AdamW's epsilon", .low = 0, .high = 1});
    visit("weight_decay",
          weight_decay,
          FieldInfo{.help = "decoupled weight decay", .low = 0, .high = 100});
    visit("weight_decay_on",
          weight_decay_on,
          FieldInfo{.help = "matrices: parameters of two or more dimensions"});
    visit("warmup_steps",
          warmup_steps,
          FieldInfo{.help = "linear warm-up", .unit = "steps", .low = 0, .high = 1e12});
    visit("schedule", schedule, FieldInfo{.help = "after the warm-up"});
    visit("min_lr_frac",
          min_lr_frac,
          FieldInfo{.help = "share of lr at the end of the schedule", .low = 0, .high = 1});
    visit("schedule_steps",
          schedule_steps,
          FieldInfo{.help = "length of the schedule; null = trainer.steps",
                    .unit = "steps",
                    .low = 1,
                    .high = 1e12});
    visit("max_grad_norm",
          max_grad_norm,
          FieldInfo{
              .help = "global gradient norm is clipped to this; 0 = off", .low = 0, .high = 1e12});
  }
};

}  // namespace sgrpo::optim
