#include "verifier/command_worker.h"

#include <algorithm>

#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/text.h"
#include "verifier/command_answer.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

/// How much longer than a row a second line may come after the last row's first one and still be
/// noticed.
constexpr std::chrono::milliseconds kSettle{20};
constexpr int kMostLateLines = 1000;

/// Throws BadAnswer if the line is no JSON object.
core::Json parse(const std::string& line) {
  try {
    core::Json answer = core::parse_json(line, "answer");
    if (answer.is_object()) return answer;
  } catch (const core::UserError&) {
  }
  throw BadAnswer{core::str("wrote '",
                            core::printable(line),
                            "', expected one JSON object a line (other output belongs on "
                            "stderr)")};
}

}  // namespace

std::vector<Verdict> CommandWorker::judge_all(const std::vector<Sample>& samples,
                                              const TimeLimits& limits) {
  num_failures_ = 0;
  is_start_late_ = false;
  Batch batch;
  try {
    for (const Sample& sample : samples) {
      if (core::stop_requested()) throw core::Interrupted("a stop was asked for while verifying");
      batch.verdicts.push_back(judge(sample, limits, batch));
    }
    if (!batch.suspects.empty()) end_surplus(settling_time(limits), batch);
  } catch (const core::Interrupted&) {
    process_.reset();
    throw;
  }
  return std::move(batch.verdicts);
}

std::chrono::milliseconds CommandWorker::settling_time(const TimeLimits& limits) const {
  const double seconds = std::min(longest_row_s_, limits.row_s);
  return kSettle + std::chrono::milliseconds(static_cast<int64_t>(1000.0 * seconds));
}

Verdict CommandWorker::judge(const Sample& sample, const TimeLimits& limits, Batch& mutable_batch) {
  if (num_failures_ > options_.max_restarts) {
    return failed(core::str(prefix(),
                            "failed ",
                            num_failures_,
                            " rows in a row; the rest of the batch is not judged (params."
                            "max_restarts)"));
  }
  if (is_start_late_) {
    return failed(
        core::str(prefix(), "did not start in time; the rest of the batch is not judged"));
  }
  end_surplus(std::chrono::milliseconds(0), mutable_batch);
  try {
    if (!process_) {
      process_ = std::make_unique<ChildProcess>(options_.child);
      num_rows_ = 0;
      longest_row_s_ = 0.0;
      gives_ids_ = false;
    }
    ++num_rows_;
    return ask(sample, limits, mutable_batch);
  } catch (const core::RunError& error) {
    ++num_failures_;
    return failed(core::str("command: ", error.what()));
  } catch (const BadAnswer& bad) {
    return broken(bad.reason);
  }
}

Verdict CommandWorker::ask(const Sample& sample, const TimeLimits& limits, Batch& mutable_batch) {
  const auto start = std::chrono::steady_clock::now();
  std::string line = request(sample), text;
  TimeLimits left = limits;
  while (true) {
    const auto outcome = process_->exchange(line, left, text);
    if (outcome == ChildProcess::Outcome::kTimeout) return late(limits);
    if (outcome == ChildProcess::Outcome::kEnded) throw BadAnswer{"ended before it answered"};
    if (outcome == ChildProcess::Outcome::kTooLong) {
      throw BadAnswer{
          core::str("wrote a line of more than ", ChildProcess::kMaxLineBytes, " bytes")};
    }
    line.clear();  // sent
    const core::Json answer = parse(text);
    if (answers_earlier_row(answer)) {
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      left.row_s = limits.row_s - seconds.count();
      if (left.row_s > 0.0) continue;
      return late(limits);
    }
    return accept(answer, text, sample, mutable_batch);
  }
}

void CommandWorker::end_surplus(std::chrono::milliseconds patience, Batch& mutable_batch) {
  if (!process_) return;
  for (int lines = 0; process_->has_unread_output(patience); ++lines) {
    if (gives_ids_) {
      const auto line = process_->take_line();
      if (!line) return;  // the rest of it is still to come
      if (names_earlier_row(*line) && lines < kMostLateLines) continue;
    }
    ++num_failures_;
    process_.reset();
    for (const size_t index : mutable_batch.suspects) {
      mutable_batch.verdicts[index] =
          failed(core::str(prefix(),
                           "wrote more lines than it got, so that verdicts may have taken another "
                           "row's place; write one line a row, with its \"id\""));
    }
    mutable_batch.suspects.clear();
    warn_once(core::str(prefix(), "wrote more than one line for a row; restarted"));
    return;
  }
}

std::string CommandWorker::request(const Sample& sample) {
  const core::Json line = {{"id", ++last_id_},
                           {"completion", sample.completion},
                           {"ground_truth", sample.ground_truth},
                           {"row", sample.columns == nullptr ? core::Json() : *sample.columns},
                           {"is_truncated", sample.is_truncated}};
  return core::dump_ascii(line);
}

bool CommandWorker::answers_earlier_row(const core::Json& answer) const {
  const core::Json* id = core::find(answer, "id");
  return id != nullptr && id->is_number_integer() && *id < core::Json(last_id_);
}

bool CommandWorker::names_earlier_row(const std::string& line) const {
  try {
    const core::Json* id = core::find(core::parse_json(line, "answer"), "id");
    return id != nullptr && id->is_number_integer() && *id <= core::Json(last_id_);
  } catch (const core::UserError&) {
    return false;
  }
}

Verdict CommandWorker::accept(const core::Json& answer,
                              const std::string& line,
                              const Sample& sample,
                              Batch& mutable_batch) {
  try {
    const core::Json* id = core::find(answer, "id");
    if (id != nullptr && *id != core::Json(last_id_)) {
      throw BadAnswer{core::str("\"id\" is not ", last_id_, ", so it answers another row")};
    }
    if (id == nullptr && gives_ids_) throw BadAnswer{"no \"id\", which earlier answers had"};
    Verdict verdict = read_verdict(answer, sample.completion.size());
    gives_ids_ = id != nullptr;
    if (!gives_ids_ && num_rows_ > 1) {
      mutable_batch.suspects.push_back(mutable_batch.verdicts.size());
    }
    num_failures_ = 0;
    longest_row_s_ = std::max(longest_row_s_, process_->answer_seconds());
    return verdict;
  } catch (const BadAnswer& bad) {
    throw BadAnswer{core::str("wrote '", core::printable(line), "': ", bad.reason)};
  }
}

Verdict CommandWorker::late(const TimeLimits& limits) {
  ++num_failures_;
  is_start_late_ = !process_->has_started();
  process_.reset();
  if (is_start_late_) {
    return timed_out(core::str(prefix(),
                               "read no row within verifier.start_timeout_s = ",
                               limits.start_s,
                               " s of its start"));
  }
  return timed_out(core::str(prefix(),
                             "gave no line within verifier.timeout_s = ",
                             limits.row_s,
                             " s (does it flush its output after every line?)"));
}

Verdict CommandWorker::broken(const std::string& what) {
  ++num_failures_;
  const std::string obituary = process_->end();
  process_.reset();
  return failed(core::str(prefix(), what, " (", obituary, ")"));
}

std::string CommandWorker::prefix() const {
  return core::str("command '", core::printable(options_.name), "' ");
}

}  // namespace sgrpo::verifier
