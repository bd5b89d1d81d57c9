// `command`: an external program judges. One process serves many rows: one JSON line in
// {"id", "completion", "ground_truth", "row", "is_truncated"}, one JSON line out {"reward"} with
// optional "status", "correct", "id", "answer", "answer_span", "items" and "comment".
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <optional>

#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/child_process.h"
#include "verifier/params.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

constexpr int64_t kDefaultRestarts = 8;
constexpr double kDefaultMemoryGib = 8.0;
/// How long a second line may come after the last row's first one and still be noticed.
constexpr std::chrono::milliseconds kSettle{20};
constexpr int kMostLateLines = 1000;

bool is_program(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

/// The file that a shell would run for `name`.
std::filesystem::path find_program(const std::string& name, const std::string& where) {
  if (name.find('/') != std::string::npos) {
    if (is_program(name)) return std::filesystem::absolute(name);
    throw core::UserError(core::str(
        where, " is '", core::printable(name), "', expected an executable file; there is none"));
  }
  const char* const path = std::getenv("PATH");
  for (const std::string& folder : core::split(path == nullptr ? "/usr/bin:/bin" : path, ':')) {
    const auto candidate = std::filesystem::path(folder.empty() ? "." : folder) / name;
    if (!name.empty() && is_program(candidate)) return std::filesystem::absolute(candidate);
  }
  throw core::UserError(core::str(where,
                                  " is '",
                                  core::printable(name),
                                  "', expected a program of PATH; there is none of that name"));
}

/// Thrown where an answer breaks the protocol; caught in this file.
struct BadAnswer {
  std::string reason;
};

std::optional<VerdictStatus> status_of(const core::Json& answer) {
  const core::Json* correct = core::find(answer, "correct");
  const core::Json* status = core::find(answer, "status");
  if (correct != nullptr && !correct->is_boolean()) throw BadAnswer{"\"correct\" is no boolean"};
  std::optional<VerdictStatus> result;
  if (correct != nullptr) {
    result = correct->get<bool>() ? VerdictStatus::kCorrect : VerdictStatus::kIncorrect;
  }
  if (status == nullptr) return result;
  const auto known =
      status->is_string() ? verdict_status(status->get<std::string>()) : std::nullopt;
  if (!known || *known == VerdictStatus::kTruncated) {
    throw BadAnswer{"\"status\" is none of correct, incorrect, unparsed, timeout, error"};
  }
  const bool agrees =
      !result || (*result == VerdictStatus::kCorrect) == (*known == VerdictStatus::kCorrect);
  if (!agrees) throw BadAnswer{"\"correct\" and \"status\" contradict each other"};
  return known;
}

/// A text, or a number as it is written; "" if the key is missing.
std::string text_at(const core::Json& answer, const char* key) {
  const core::Json* value = core::find(answer, key);
  if (value == nullptr) return "";
  if (value->is_string()) return value->get<std::string>();
  if (value->is_number()) return core::dump_ascii(*value);
  throw BadAnswer{core::str("\"", key, "\" is no text")};
}

bool is_share(const core::Json* value) {
  return value != nullptr && value->is_number() && value->get<double>() >= 0.0 &&
         value->get<double>() <= 1.0;
}

/// {"begin", "end"} in bytes of the completion.
TextSpan read_span(const core::Json& value, const char* key, size_t size) {
  const core::Json* begin = core::find(value, "begin");
  const core::Json* end = core::find(value, "end");
  const bool has_both = begin != nullptr && begin->is_number_unsigned() && end != nullptr &&
                        end->is_number_unsigned();
  if (has_both && begin->get<uint64_t>() <= end->get<uint64_t>() && end->get<uint64_t>() <= size) {
    return {.begin = begin->get<int64_t>(), .end = end->get<int64_t>()};
  }
  throw BadAnswer{
      core::str("\"", key, "\" has no \"begin\" <= \"end\" in the completion's ", size, " bytes")};
}

std::vector<VerdictItem> read_items(const core::Json& answer, size_t size) {
  std::vector<VerdictItem> items;
  const core::Json* list = core::find(answer, "items");
  if (list == nullptr) return items;
  if (!list->is_array()) throw BadAnswer{"\"items\" is no list"};
  for (const core::Json& item : *list) {
    const core::Json* reward = core::find(item, "reward");
    if (!is_share(reward)) throw BadAnswer{"an item's \"reward\" is no number in [0, 1]"};
    items.push_back({.span = read_span(item, "items", size), .reward = reward->get<double>()});
  }
  return items;
}

/// `size`: bytes of the completion.
Verdict read_verdict(const core::Json& answer, size_t size) {
  const auto status = status_of(answer);
  const core::Json* reward = core::find(answer, "reward");
  Verdict verdict;
  verdict.answer = text_at(answer, "answer");
  verdict.comment = text_at(answer, "comment");
  verdict.items = read_items(answer, size);
  if (const core::Json* span = core::find(answer, "answer_span"); span != nullptr) {
    verdict.answer_span = read_span(*span, "answer_span", size);
  }
  verdict.status = status.value_or(VerdictStatus::kIncorrect);
  if (!verdict.is_valid()) return verdict;
  if (reward == nullptr) {
    if (!status) throw BadAnswer{"no \"reward\""};
    verdict.reward = verdict.status == VerdictStatus::kCorrect ? 1.0 : 0.0;
    return verdict;
  }
  if (!is_share(reward)) throw BadAnswer{"\"reward\" is no number in [0, 1]"};
  verdict.reward = reward->get<double>();
  if (!status && verdict.reward == 1.0) verdict.status = VerdictStatus::kCorrect;
  return verdict;
}

/// A batch while it is judged.
struct Batch {
  std::vector<Verdict> verdicts;
  // Verdicts without an id behind another row of the same process: should it turn out that the
  // program writes more lines than it gets, nobody knows which row they answer.
  std::vector<size_t> suspects;
};

class Command : public Verifier {
 public:
  Command(const core::Json& json, const std::string& where)
      : Command(Params(json, where, {"argv", "max_restarts", "env", "memory_gib"})) {}

  Verdict verify(const Sample& sample) const override {
    return verify_all({sample}, TimeLimits()).front();
  }

  std::vector<Verdict> verify_all(const std::vector<Sample>& samples,
                                  const TimeLimits& limits) const override {
    const std::lock_guard lock(mutex_);
    num_failures_ = 0;
    is_start_late_ = false;
    Batch batch;
    try {
      for (const Sample& sample : samples) {
        if (core::stop_requested()) throw core::Interrupted("a stop was asked for while verifying");
        batch.verdicts.push_back(judge(sample, limits, batch));
      }
      if (!batch.suspects.empty()) end_surplus(kSettle, batch);
    } catch (const core::Interrupted&) {
      process_.reset();
      throw;
    }
    return std::move(batch.verdicts);
  }

  bool is_batched() const override { return true; }

 private:
  explicit Command(const Params& params)
      : max_restarts_(params.integer("max_restarts", kDefaultRestarts, 0, 1'000'000)) {
    child_.argv = params.texts("argv", {});
    if (child_.argv.empty()) {
      throw core::UserError(core::str(
          params.path("argv"), " is missing: expected the program and its arguments, a list"));
    }
    child_.program = find_program(child_.argv.front(), params.path("argv[0]"));
    child_.environment = {"PATH", "HOME", "LANG", "VIRTUAL_ENV", "PYTHONPATH"};
    for (const std::string& name : params.texts("env", {})) child_.environment.push_back(name);
    constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
    child_.memory_bytes =
        static_cast<uint64_t>(params.number("memory_gib", kDefaultMemoryGib, 0.001, 1e6) * kGiB);
  }

  Verdict judge(const Sample& sample, const TimeLimits& limits, Batch& mutable_batch) const {
    if (num_failures_ > max_restarts_) {
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
        process_ = std::make_unique<ChildProcess>(child_);
        num_rows_ = 0;
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

  /// Sends a row and waits for its verdict. Throws BadAnswer if there is none.
  Verdict ask(const Sample& sample, const TimeLimits& limits, Batch& mutable_batch) const {
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

  /// What the program wrote beside its answers: lines that name an earlier row are late and
  /// harmless, others mask every verdict that one of them may have taken the place of.
  void end_surplus(std::chrono::milliseconds patience, Batch& mutable_batch) const {
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
        mutable_batch.verdicts[index] = failed(
            core::str(prefix(),
                      "wrote more lines than it got, so that verdicts may have taken another "
                      "row's place; write one line a row, with its \"id\""));
      }
      mutable_batch.suspects.clear();
      warn_once(core::str(prefix(), "wrote more than one line for a row; restarted"));
      return;
    }
  }

  std::string request(const Sample& sample) const {
    const core::Json line = {{"id", ++last_id_},
                             {"completion", sample.completion},
                             {"ground_truth", sample.ground_truth},
                             {"row", sample.columns == nullptr ? core::Json() : *sample.columns},
                             {"is_truncated", sample.is_truncated}};
    return core::dump_ascii(line);
  }

  /// Throws BadAnswer if the line is no JSON object.
  static core::Json parse(const std::string& line) {
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

  /// Whether the answer names a row that has its verdict already.
  bool answers_earlier_row(const core::Json& answer) const {
    const core::Json* id = core::find(answer, "id");
    return id != nullptr && id->is_number_integer() && *id < core::Json(last_id_);
  }

  bool names_earlier_row(const std::string& line) const {
    try {
      const core::Json* id = core::find(core::parse_json(line, "answer"), "id");
      return id != nullptr && id->is_number_integer() && *id <= core::Json(last_id_);
    } catch (const core::UserError&) {
      return false;
    }
  }

  Verdict accept(const core::Json& answer,
                 const std::string& line,
                 const Sample& sample,
                 Batch& mutable_batch) const {
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
      return verdict;
    } catch (const BadAnswer& bad) {
      throw BadAnswer{core::str("wrote '", core::printable(line), "': ", bad.reason)};
    }
  }

  /// The process is killed before anybody waits for it: the row's time is over.
  Verdict late(const TimeLimits& limits) const {
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

  Verdict broken(const std::string& what) const {
    ++num_failures_;
    const std::string obituary = process_->end();
    process_.reset();
    return failed(core::str(prefix(), what, " (", obituary, ")"));
  }

  std::string prefix() const {
    return core::str("command '", core::printable(child_.argv.front()), "' ");
  }

  int64_t max_restarts_;
  ChildOptions child_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<ChildProcess> process_;
  mutable int64_t num_failures_ = 0;  // in a row, in this batch
  mutable int64_t last_id_ = 0;
  mutable int64_t num_rows_ = 0;  // that the process has got
  mutable bool gives_ids_ = false;
  mutable bool is_start_late_ = false;  // in this batch
};

SGRPO_REGISTER_VERIFIER("command", Command);

}  // namespace
}  // namespace sgrpo::verifier
