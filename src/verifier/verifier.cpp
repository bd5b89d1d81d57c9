#include "sgrpo/verifier/verifier.h"

#include <ctime>

#include "sgrpo/core/interrupt.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 20;

/// Processor time, not wall time: a busy machine must not mask a sample that was judged in time.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Verdict guarded(const Verifier& verifier, const Sample& sample, double limit_s) {
  if (sample.ground_truth.size() > kMaxTextBytes) {
    return failed(core::str("a ground truth has ",
                            sample.ground_truth.size(),
                            " bytes, expected at most ",
                            kMaxTextBytes));
  }
  if (sample.completion.size() > kMaxTextBytes) return unparsed();
  const double start = thread_seconds();
  Verdict verdict;
  try {
    verdict = verifier.verify(sample);
  } catch (const std::exception& error) {
    return failed(core::str("a verifier threw: ", error.what()));
  }
  const double seconds = thread_seconds() - start;
  if (seconds <= limit_s) return verdict;
  return timed_out(core::str("a verdict took longer than verifier.timeout_s = ", limit_s, " s"));
}

}  // namespace

std::vector<Verdict> Verifier::verify_all(const std::vector<Sample>& samples,
                                          const TimeLimits& limits) const {
  std::vector<Verdict> verdicts;
  verdicts.reserve(samples.size());
  for (const Sample& sample : samples) {
    if (core::stop_requested()) throw core::Interrupted("a stop was asked for while verifying");
    verdicts.push_back(guarded(*this, sample, limits.row_s));
  }
  return verdicts;
}

}  // namespace sgrpo::verifier
