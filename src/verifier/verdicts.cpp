#include "verifier/verdicts.h"

#include <mutex>
#include <set>

#include "sgrpo/core/log.h"

namespace sgrpo::verifier {
namespace {

constexpr size_t kMaxWarnings = 50;

Verdict make(double reward, VerdictStatus status) {
  Verdict verdict;
  verdict.reward = reward;
  verdict.status = status;
  return verdict;
}

}  // namespace

Verdict graded(bool is_correct) {
  return is_correct ? make(1.0, VerdictStatus::kCorrect) : make(0.0, VerdictStatus::kIncorrect);
}

Verdict unparsed() { return make(0.0, VerdictStatus::kUnparsed); }

Verdict failed(const std::string& reason) {
  warn_once(reason);
  return make(0.0, VerdictStatus::kError);
}

Verdict timed_out(const std::string& reason) {
  warn_once(reason);
  return make(0.0, VerdictStatus::kTimeout);
}

Verdict no_ground_truth(std::string_view verifier) {
  return failed(core::str(verifier, ": the row has no ground_truth, so it cannot be judged"));
}

Verdict answered(Verdict verdict, std::string answer, const std::optional<TextSpan>& span) {
  verdict.answer = std::move(answer);
  if (!verdict.answer.empty()) verdict.answer_span = span;
  return verdict;
}

TextSpan span_of(std::string_view text, std::string_view part) {
  const auto begin = static_cast<int64_t>(part.data() - text.data());
  return {.begin = begin, .end = begin + static_cast<int64_t>(part.size())};
}

void warn_once(const std::string& message) {
  static std::mutex mutex;
  static std::set<std::string> said;
  const std::lock_guard lock(mutex);
  if (said.size() > kMaxWarnings || !said.insert(message).second) return;
  core::warn(said.size() > kMaxWarnings ? "further verifier warnings are not shown" : message);
}

}  // namespace sgrpo::verifier
