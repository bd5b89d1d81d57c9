// Watches the metrics of a run for what no curve shows in time: that it learns nothing.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "sgrpo/types/step_report.h"

namespace sgrpo::trainer {

/// Fed with every step's report; says what is wrong, with the knob, once each after 20 such steps
/// in a row: completions cut (of all in 20 steps: a small step's share is coarse), groups without
/// any spread, a reward that stands still below 1 without injection, completions that shrink while
/// the reward does not rise. A loss or gradient norm above
/// ten times the median of the last 100 is said at each occurrence.
class Alarms {
 public:
  /// Warnings for the log; usually none. A metric that the report lacks raises no alarm.
  std::vector<std::string> watch(int64_t step, const StepReport& report);

  /// Watches the rows that an earlier start wrote to metrics.jsonl, so that a run that goes on
  /// neither repeats a warning nor begins to count anew. A missing file has none.
  void recall(const std::filesystem::path& metrics);

 private:
  /// One thing that may last: how long it has, and whether it was said.
  struct Streak {
    int64_t length = 0;
    bool is_said = false;
    /// Whether this step makes it 20 in a row for the first time.
    bool is_due(bool holds);
  };
  /// The last values of a metric whose spikes are told.
  struct Series {
    std::deque<double> values;
    /// How often the median of what came before the value is contained in it; 0 if too few came.
    double excess(double value);
  };

  void watch_cuts(const StepReport& report, std::vector<std::string>& warnings);
  void watch_reward(const StepReport& report, std::vector<std::string>& warnings);
  void watch_length(const StepReport& report, std::vector<std::string>& warnings);
  void watch_spikes(int64_t step, const StepReport& report, std::vector<std::string>& warnings);

  Streak dead_, constant_, short_;
  std::deque<double> cut_shares_;  // of the last 20 steps
  bool is_cut_said_ = false;
  Series loss_, grad_norm_;
  double last_reward_ = 0.0;
  // Of the first steps, against which a collapse is measured.
  int64_t num_first_ = 0;
  double first_length_ = 0.0, first_reward_ = 0.0;  // sums
};

}  // namespace sgrpo::trainer
