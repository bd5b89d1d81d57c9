// What a step does when verifiers fail on many of its completions.
#include <algorithm>
#include <thread>

#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/log.h"
#include "trainer/stages.h"
#include "trainer/together.h"

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

/// Over all ranks.
Failures count_failures(const std::vector<RolloutGroup>& groups,
                        const MemberFilter& is_asked,
                        distributed::Communicator& ranks) {
  Failures result;
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t m = 0; m < groups[g].members.size(); ++m) {
      if (is_asked && !is_asked(g, m)) continue;
      ++result.total;
      result.failed += has_failed(groups[g], groups[g].members[m]);
    }
  }
  const auto sums =
      ranks.reduce({static_cast<double>(result.failed), static_cast<double>(result.total)});
  return {.failed = static_cast<int64_t>(sums[0]), .total = static_cast<int64_t>(sums[1])};
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

std::vector<RolloutGroup> judge_members(const State& state,
                                        std::vector<RolloutGroup> groups,
                                        const MemberFilter& is_asked) {
  if (!is_asked) return eval::judge_groups(std::move(groups), *state.verifiers);
  std::vector<RolloutGroup> parts;
  std::vector<GroupMember*> places;
  for (size_t g = 0; g < groups.size(); ++g) {
    RolloutGroup part;
    part.prompt = groups[g].prompt;
    for (size_t m = 0; m < groups[g].members.size(); ++m) {
      if (!is_asked(g, m)) continue;
      part.members.push_back(groups[g].members[m]);
      places.push_back(&groups[g].members[m]);
    }
    if (!part.members.empty()) parts.push_back(std::move(part));
  }
  size_t next = 0;
  for (RolloutGroup& part : eval::judge_groups(std::move(parts), *state.verifiers)) {
    for (GroupMember& member : part.members) places[next++]->verdict = std::move(member.verdict);
  }
  return groups;
}

std::vector<RolloutGroup> judge_again(State& state,
                                      std::vector<RolloutGroup> groups,
                                      const std::vector<std::chrono::milliseconds>& pauses,
                                      const MemberFilter& is_asked) {
  for (const std::chrono::milliseconds pause : pauses) {
    const Failures failures = count_failures(groups, is_asked, *state.communicator);
    if (!failures.are_many()) return groups;
    core::warn(failures.failed,
               " of ",
               failures.total,
               " completions of step ",
               state.progress.finished_steps + 1,
               " have no verdict (timeout or error, reasons above): they are judged again in ",
               static_cast<double>(pause.count()) / 1000.0,
               " s");
    // Of `groups` as they are: the filter is asked while they are taken apart.
    std::vector<std::vector<bool>> has_none;
    for (const RolloutGroup& group : groups) {
      std::vector<bool>& failed = has_none.emplace_back();
      for (const GroupMember& member : group.members) failed.push_back(has_failed(group, member));
    }
    groups = together(*state.communicator, [&] {
      wait(pause);
      return judge_members(state, std::move(groups), [&](size_t group, size_t member) {
        return has_none[group][member] && (!is_asked || is_asked(group, member));
      });
    });
  }
  const Failures failures = count_failures(groups, is_asked, *state.communicator);
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
