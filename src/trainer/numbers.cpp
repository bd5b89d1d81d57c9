#include "trainer/numbers.h"

#include "sgrpo/core/log.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

constexpr int64_t kMostSkips = 3;   // steps in a row
constexpr int64_t kFewSteps = 100;  // between two ways back

void check_not_again(const Progress& progress) {
  const int64_t step = progress.finished_steps;
  if (progress.went_back_at == 0 || step > progress.went_back_at + kFewSteps) return;
  throw core::RunError(core::str("the updates of steps ",
                                 step - kMostSkips + 1,
                                 " to ",
                                 step,
                                 " were all left out for numbers that are not finite, and the run "
                                 "went back for that reason at step ",
                                 progress.went_back_at,
                                 " already: lower optim.lr or optim.max_grad_norm, or take "
                                 "model.dtype: float32"));
}

}  // namespace

void note_skips(State& state, int64_t step, bool all_skipped) {
  Progress& progress = state.progress;
  if (!all_skipped) {
    progress.skips_in_a_row = 0;
    return;
  }
  if (progress.skips_in_a_row++ == 0) progress.skips_from = state.feed->stream().position(step);
}

bool has_gone_wrong(const State& state) { return state.progress.skips_in_a_row >= kMostSkips; }

void go_back(State& state) {
  const Progress before = state.progress;
  check_not_again(before);
  const int64_t step = before.finished_steps;
  const int64_t end = state.feed->stream().position(step + 1);
  state.passed_over.push_back({before.skips_from, end});
  core::warn(
      "the updates of steps ",
      step - kMostSkips + 1,
      " to ",
      step,
      " were all left out for numbers that are not finite: the run goes back, and passes over "
      "positions ",
      before.skips_from,
      " to ",
      end - 1,
      " of the training stream");
  open_again(state);
  state.progress.skips_in_a_row = 0;
  state.progress.skipped_steps = before.skipped_steps;
  state.progress.went_back_at = step;
}

}  // namespace sgrpo::trainer
