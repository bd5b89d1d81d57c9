// `command`: an external program judges. One process serves many rows: one JSON line in
// {"id", "completion", "ground_truth", "row", "is_truncated"}, one JSON line out {"reward"} with
// optional "status", "correct" and "id".
#include <unistd.h>

#include <algorithm>
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

constexpr double kDefaultTimeoutS = 10.0;
constexpr int64_t kDefaultRestarts = 8;

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
  for (const VerdictStatus known : {VerdictStatus::kCorrect,
                                    VerdictStatus::kIncorrect,
                                    VerdictStatus::kUnparsed,
                                    VerdictStatus::kTimeout,
                                    VerdictStatus::kError}) {
    if (!status->is_string() || status->get<std::string>() != to_string(known)) continue;
    const bool agrees =
        !result || (*result == VerdictStatus::kCorrect) == (known == VerdictStatus::kCorrect);
    if (!agrees) throw BadAnswer{"\"correct\" and \"status\" contradict each other"};
    return known;
  }
  throw BadAnswer{"\"status\" is none of correct, incorrect, unparsed, timeout, error"};
}

Verdict read_verdict(const core::Json& answer, int64_t id) {
  if (!answer.is_object()) throw BadAnswer{"not an object"};
  const core::Json* echoed = core::find(answer, "id");
  if (echoed != nullptr && *echoed != core::Json(id)) {
    throw BadAnswer{core::str("\"id\" is not ", id, ", so it answers another row")};
  }
  const auto status = status_of(answer);
  const core::Json* reward = core::find(answer, "reward");
  Verdict verdict;
  verdict.status = status.value_or(VerdictStatus::kIncorrect);
  if (!verdict.is_valid()) return verdict;
  if (reward == nullptr) {
    if (!status) throw BadAnswer{"no \"reward\""};
    verdict.reward = verdict.status == VerdictStatus::kCorrect ? 1.0 : 0.0;
    return verdict;
  }
  const double value = reward->is_number() ? reward->get<double>() : -1.0;
  if (!(value >= 0.0 && value <= 1.0)) throw BadAnswer{"\"reward\" is no number in [0, 1]"};
  verdict.reward = value;
  if (!status && value == 1.0) verdict.status = VerdictStatus::kCorrect;
  return verdict;
}

class Command : public Verifier {
 public:
  Command(const core::Json& json, const std::string& where)
      : Command(Params(json, where, {"argv", "max_restarts"})) {}

  Verdict verify(const Sample& sample) const override {
    return verify_all({sample}, kDefaultTimeoutS).front();
  }

  std::vector<Verdict> verify_all(const std::vector<Sample>& samples,
                                  double timeout_s) const override {
    const std::lock_guard lock(mutex_);
    num_failures_ = 0;
    std::vector<Verdict> verdicts;
    try {
      for (const Sample& sample : samples) {
        if (core::stop_requested()) throw core::Interrupted("a stop was asked for while verifying");
        verdicts.push_back(judge(sample, timeout_s));
      }
    } catch (const core::Interrupted&) {
      process_.reset();
      throw;
    }
    return verdicts;
  }

  bool is_batched() const override { return true; }

 private:
  explicit Command(const Params& params)
      : argv_(params.texts("argv", {})),
        max_restarts_(params.integer("max_restarts", kDefaultRestarts, 0, 1'000'000)) {
    if (argv_.empty()) {
      throw core::UserError(core::str(
          params.path("argv"), " is missing: expected the program and its arguments, a list"));
    }
    program_ = find_program(argv_.front(), params.path("argv[0]"));
  }

  Verdict judge(const Sample& sample, double timeout_s) const {
    if (num_failures_ > max_restarts_) {
      return failed(core::str(prefix(),
                              "failed ",
                              num_failures_,
                              " rows in a row; the rest of the batch is not judged (params."
                              "max_restarts)"));
    }
    if (process_ && process_->has_unread_output()) {
      ++num_failures_;
      warn_once(core::str(prefix(), "wrote more than one line for a row; restarted"));
      process_.reset();
    }
    std::string answer;
    try {
      if (!process_) process_ = std::make_unique<ChildProcess>(program_, argv_);
      switch (process_->exchange(request(sample), timeout_s, answer)) {
        case ChildProcess::Outcome::kLine: return accept(answer);
        case ChildProcess::Outcome::kTimeout: return late(timeout_s);
        case ChildProcess::Outcome::kEnded: return broken("ended before it answered");
        case ChildProcess::Outcome::kTooLong:
          return broken(
              core::str("wrote a line of more than ", ChildProcess::kMaxLineBytes, " bytes"));
      }
    } catch (const core::RunError& error) {
      ++num_failures_;
      return failed(core::str("command: ", error.what()));
    }
    return broken("gave no verdict");
  }

  std::string request(const Sample& sample) const {
    const core::Json line = {{"id", ++last_id_},
                             {"completion", sample.completion},
                             {"ground_truth", sample.ground_truth},
                             {"row", sample.columns == nullptr ? core::Json() : *sample.columns},
                             {"is_truncated", sample.is_truncated}};
    return core::dump_ascii(line);
  }

  Verdict accept(const std::string& answer) const {
    try {
      const Verdict verdict = read_verdict(core::parse_json(answer, "answer"), last_id_);
      num_failures_ = 0;
      return verdict;
    } catch (const core::UserError&) {
      return broken(
          core::str("wrote '",
                    core::printable(answer),
                    "', expected one JSON object a line (other output belongs on stderr)"));
    } catch (const BadAnswer& bad) {
      return broken(core::str("wrote '", core::printable(answer), "': ", bad.reason));
    }
  }

  /// The process is killed before anybody waits for it: the row's time is over.
  Verdict late(double timeout_s) const {
    ++num_failures_;
    process_.reset();
    return timed_out(core::str(prefix(),
                               "gave no line within verifier.timeout_s = ",
                               timeout_s,
                               " s (does it flush its output after every line?)"));
  }

  Verdict broken(const std::string& what) const {
    ++num_failures_;
    const std::string obituary = process_->end();
    process_.reset();
    return failed(core::str(prefix(), what, " (", obituary, ")"));
  }

  std::string prefix() const {
    return core::str("command '", core::printable(argv_.front()), "' ");
  }

  std::vector<std::string> argv_;
  int64_t max_restarts_;
  std::filesystem::path program_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<ChildProcess> process_;
  mutable int64_t num_failures_ = 0;  // in a row, in this batch
  mutable int64_t last_id_ = 0;
};

SGRPO_REGISTER_VERIFIER("command", Command);

}  // namespace
}  // namespace sgrpo::verifier
