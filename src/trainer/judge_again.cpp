// What a step does when verifiers fail on many of its completions.
#include <algorithm>
#include <thread>

#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/log.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

/// Fewer failures are masked and counted, no more.
constexpr double kMostUnjudged = 0.05;
constexpr int64_t kFewestUnjudged = 4;

/// Whether another try may give a verdict: a row without a ground truth stays without one.
bool has_failed(const RolloutGroup& group, const GroupMember& member) {
  if (member.verdict.status == VerdictStatus::kTimeout) return true;
  return member.verdict.status == VerdictStatus::kError && group.prompt->record->ground_truth;
}

struct Failures {
  int64_t failed = 0, total = 0;
  bool are_many() const {
    return failed >= kFewestUnjudged &&
           static_cast<double>(failed) > kMostUnjudged * static_cast<double>(total);
  }
};

Failures count_failures(const std::vector<RolloutGroup>& groups) {
  Failures result;
  for (const RolloutGroup& group : groups) {
    for (const GroupMember& member : group.members) {
      ++result.total;
      result.failed += has_failed(group, member);
    }
  }
  return result;
}

/// Asks the verifiers once more about the members that have failed.
std::vector<RolloutGroup> judge_failed(const State& state, std::vector<RolloutGroup> groups) {
  std::vector<RolloutGroup> failed;
  std::vector<GroupMember*> places;
  for (RolloutGroup& group : groups) {
    RolloutGroup part;
    part.prompt = group.prompt;
    for (GroupMember& member : group.members) {
      if (!has_failed(group, member)) continue;
      part.members.push_back(member);
      places.push_back(&member);
    }
    if (!part.members.empty()) failed.push_back(std::move(part));
  }
  size_t next = 0;
  for (RolloutGroup& part : eval::judge_groups(std::move(failed), *state.verifiers)) {
    for (GroupMember& member : part.members) places[next++]->verdict = std::move(member.verdict);
  }
  return groups;
}

void wait(std::chrono::milliseconds time) {
  constexpr std::chrono::milliseconds kSlice{50};
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
    if (core::stop_requested())
      throw core::Interrupted("stopped by a signal while waiting for a verifier");
    std::this_thread::sleep_for(std::min(time, kSlice));
  }
}

}  // namespace

std::vector<RolloutGroup> judge_again(State& state,
                                      std::vector<RolloutGroup> groups,
                                      const std::vector<std::chrono::milliseconds>& pauses) {
  for (const std::chrono::milliseconds pause : pauses) {
    const Failures failures = count_failures(groups);
    if (!failures.are_many()) return groups;
    core::warn(failures.failed,
               " of ",
               failures.total,
               " completions of step ",
               state.progress.finished_steps + 1,
               " have no verdict (timeout or error, reasons above): they are judged again in ",
               static_cast<double>(pause.count()) / 1000.0,
               " s");
    wait(pause);
    groups = judge_failed(state, std::move(groups));
  }
  const Failures failures = count_failures(groups);
  if (!failures.are_many()) return groups;
  throw core::RunError(core::str(failures.failed,
                                 " of ",
                                 failures.total,
                                 " completions of step ",
                                 state.progress.finished_steps + 1,
                                 " have no verdict after ",
                                 pauses.size() + 1,
                                 " tries (timeout or error, reasons above): mend the verifier; ",
                                 how_to_continue(state.config),
                                 " after step ",
                                 state.progress.finished_steps));
}

}  // namespace sgrpo::trainer
