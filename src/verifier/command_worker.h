// One process of a `command` verifier: rows in, verdicts out, started again where it fails.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sgrpo/core/json.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/child_process.h"

namespace sgrpo::verifier {

/// What is run, under which name in messages, and how often it may fail.
struct CommandOptions {
  std::string name;
  ChildOptions child;
  int64_t max_restarts = 0;  // in a row and batch
};

class CommandWorker {
 public:
  explicit CommandWorker(const CommandOptions& options) : options_(options) {}

  /// Verdicts in order, one row at a time. Throws core::Interrupted if a stop was asked for.
  std::vector<Verdict> judge_all(const std::vector<Sample>& samples, const TimeLimits& limits);

 private:
  /// A batch while it is judged.
  struct Batch {
    std::vector<Verdict> verdicts;
    // Verdicts without an id behind another row of the same process: should it turn out that the
    // program writes more lines than it gets, nobody knows which row they answer.
    std::vector<size_t> suspects;
  };

  Verdict judge(const Sample& sample, const TimeLimits& limits, Batch& mutable_batch);
  /// Sends a row and waits for its verdict. Throws BadAnswer if there is none.
  Verdict ask(const Sample& sample, const TimeLimits& limits, Batch& mutable_batch);
  /// What the program wrote beside its answers: lines that name an earlier row are late and
  /// harmless, others mask every verdict that one of them may have taken the place of.
  void end_surplus(std::chrono::milliseconds patience, Batch& mutable_batch);
  /// How long a line that nobody asked for may still come behind a batch. If one took a row's
  /// place, the last row's own answer is to come: it needs as long as a row does.
  std::chrono::milliseconds settling_time(const TimeLimits& limits) const;
  std::string request(const Sample& sample);
  /// Whether the answer names a row that has its verdict already.
  bool answers_earlier_row(const core::Json& answer) const;
  bool names_earlier_row(const std::string& line) const;
  Verdict accept(const core::Json& answer,
                 const std::string& line,
                 const Sample& sample,
                 Batch& mutable_batch);
  /// The process is killed before anybody waits for it: the row's time is over.
  Verdict late(const TimeLimits& limits);
  Verdict broken(const std::string& what);
  std::string prefix() const;

  const CommandOptions& options_;
  std::unique_ptr<ChildProcess> process_;
  int64_t num_failures_ = 0;  // in a row, in this batch
  int64_t last_id_ = 0;
  int64_t num_rows_ = 0;        // that the process has got
  double longest_row_s_ = 0.0;  // that it took for one
  bool gives_ids_ = false;
  bool is_start_late_ = false;  // in this batch
};

}  // namespace sgrpo::verifier
