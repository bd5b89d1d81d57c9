// How far a run is: one list of fields, saved, restored and compared as such.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sgrpo/core/json.h"
#include "sgrpo/types/step_report.h"

namespace sgrpo::trainer {

/// Equals the last committed state plus the steps finished since.
struct Progress {
  int64_t finished_steps = 0;
  int64_t num_tokens = 0;               // prompt and completion tokens so far
  int64_t skipped_steps = 0;            // updates left out for a number that is not finite
  int64_t no_signal_steps = 0;          // steps in which nothing could change a parameter
  int64_t skips_in_a_row = 0;           // last steps whose updates were all left out
  int64_t skips_from = 0;               // position of the stream where they begin
  int64_t went_back_at = 0;             // step at which too many of them sent the run back; 0: none
  std::optional<double> best;           // of trainer.keep_best, steps from 1 on
  int64_t best_step = 0;                // its step
  std::optional<double> best_at_start;  // the same metric at step 0
  int64_t evaluations_without_best = 0;  // in a row
  bool is_validated = false;             // `row` has its validation, if one is due
  StepReport row;                        // metrics of the last finished step, without times

  /// Visits every field with its name in state.json.
  template <class Self, class V>
  static void visit_fields(Self& self, V&& visit) {
    visit("step", self.finished_steps);
    visit("num_tokens", self.num_tokens);
    visit("skipped_steps", self.skipped_steps);
    visit("no_signal_steps", self.no_signal_steps);
    visit("skips_in_a_row", self.skips_in_a_row);
    visit("skips_from", self.skips_from);
    visit("went_back_at", self.went_back_at);
    visit("best", self.best);
    visit("best_step", self.best_step);
    visit("best_at_start", self.best_at_start);
    visit("evaluations_without_best", self.evaluations_without_best);
    visit("is_validated", self.is_validated);
    visit("row", self.row);
  }

  core::Json to_json() const;
  /// Throws core::UserError naming `where` and the field that is missing or of the wrong type.
  static Progress from_json(const core::Json& state, const std::string& where);
};

/// The one JSON form of a report: {"name": value, ...}; what is not finite is null.
core::Json to_json(const StepReport& report);
StepReport to_report(const core::Json& json);

}  // namespace sgrpo::trainer
