// Where a run's numbers go: metrics.jsonl, TensorBoard events, completions, console, report.html.
// No torch headers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sgrpo/core/json.h"
#include "sgrpo/types/prompt_record.h"
#include "sgrpo/types/step_report.h"

namespace sgrpo::telemetry {

/// Installs spdlog on stderr as core's log sink: "12:00:03 info  message"; plain without a
/// terminal.
void install_logging(bool quiet = false);

/// Of a further process of a run: warnings alone, each with "[rank 3]" in front, and no progress;
/// rank 0 speaks for the run.
void install_logging_of_rank(int64_t rank);

/// A progress bar with ETA on a terminal, a plain line at least every 30 s (and at 0 %, 10 %, ... )
/// elsewhere. Writes to stderr. Thread-safe. Of nested displays the innermost speaks.
class Progress {
 public:
  /// `label` is the phase ("train", "eval val"); `done` lets a resumed bar start at the right
  /// place. Without a terminal a line appears after `heartbeat_s` seconds even if nothing advances.
  Progress(std::string label, int64_t total, int64_t done = 0, double heartbeat_s = 30.0);
  ~Progress();
  /// `note` is shown behind the bar ("reward 0.41 injected 0.25").
  void advance(int64_t by = 1, const std::string& note = "");
  /// Ends the bar's line early; reaching the total ends it too.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// metrics.jsonl and the TensorBoard event file of a run.
class MetricsWriter {
 public:
  /// Opens both in `folder`. Rows of metrics.jsonl after `committed_step` are cut off (resume); -1
  /// starts anew.
  MetricsWriter(const std::filesystem::path& folder, int64_t committed_step = -1);
  ~MetricsWriter();
  /// Appends {"step": step, ...} as one ASCII line (shortest round-trip floats; NaN and infinities
  /// as null). A line that cannot be written is told, kept, and tried again with the next one.
  void write(int64_t step, const StepReport& report);
  /// fsync of metrics.jsonl: before a checkpoint of the steps that its rows describe.
  void sync();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// completions/ of a run: step-000012.jsonl, each written atomically; rows are ASCII-escaped JSON.
class CompletionsWriter {
 public:
  explicit CompletionsWriter(const std::filesystem::path& run_folder);
  /// A file that cannot be written is told, kept, and tried again with the next step's. Of many the
  /// oldest are given up.
  void write(int64_t step, const std::vector<core::Json>& rows);

 private:
  std::filesystem::path folder_;
  std::map<int64_t, std::string> owed_;  // step -> the file's text
};

/// Removes the files of steps after `committed_step`, which a run that goes on does again.
void cut_completions(const std::filesystem::path& run_folder, int64_t committed_step);

/// A table of a few completions for the console (stderr), columns cut to the terminal.
std::string completions_table(const std::vector<core::Json>& rows, size_t max_rows = 6);

/// One run shown in a report.
struct ReportRun {
  std::string name;
  std::filesystem::path folder;  // with metrics.jsonl and completions/
};

/// One completion shown with its image in a report.
struct ReportSample {
  std::string run, prompt, ground_truth, completion, status;
  int64_t step = 0;
  double reward = 0.0, advantage = 0.0;
  std::string origin;
  std::vector<ImageSource> images;  // embedded as data URIs
};

/// A self-contained HTML page: curves (inline SVG, one chart a metric, runs overlaid, legend),
/// timings, a table of final numbers, and samples with thumbnails. No script or style from
/// elsewhere; opens from disk. Throws core::UserError if a run has no metrics.jsonl.
void write_report(const std::filesystem::path& output,
                  const std::string& title,
                  const std::vector<ReportRun>& runs,
                  const std::vector<ReportSample>& samples);

/// Wall-clock phases of one step: the sum of phases is compared with the step's own time.
class PhaseTimer {
 public:
  PhaseTimer();
  /// Ends the running phase and starts `phase` ("load", "generate", ...); time before the first
  /// call counts to none.
  void begin(const std::string& phase);
  /// Moves `seconds` of the running phase to another: a part that only its callee can time.
  void credit(const std::string& phase, double seconds);
  /// Ends the running phase.
  void end();
  /// Seconds per phase, and since construction or reset().
  const std::map<std::string, double>& seconds() const { return seconds_; }
  double total() const;
  void reset();

 private:
  std::map<std::string, double> seconds_;
  std::string current_;
  double started_ = 0.0, origin_ = 0.0;
};

/// Resident set size of this process in GiB (/proc/self/statm).
double host_rss_gb();

}  // namespace sgrpo::telemetry
