#include "learner/schedule.h"

#include <algorithm>
#include <numeric>
#include <sstream>
#include <string>

#include "sgrpo/core/error.h"

namespace sgrpo::learner {
namespace {

using Rows = std::vector<TrainRow>;

/// End of the run of rows of one group that begins at `begin`; a row without a group stands alone.
size_t group_end(const Rows& rows, size_t begin) {
  size_t end = begin + 1;
  while (rows[begin].group >= 0 && end < rows.size() && rows[end].group == rows[begin].group) ++end;
  return end;
}

std::vector<Rows> groups_of(const Rows& rows) {
  std::vector<Rows> groups;
  for (size_t begin = 0; begin < rows.size();) {
    const size_t end = group_end(rows, begin);
    groups.emplace_back(rows.begin() + static_cast<std::ptrdiff_t>(begin),
                        rows.begin() + static_cast<std::ptrdiff_t>(end));
    begin = end;
  }
  return groups;
}

bool has_advantage(const Rows& group) {
  return std::any_of(group.begin(), group.end(), [](const TrainRow& row) {
    return std::any_of(row.decisions.begin(), row.decisions.end(), [](const Decision& decision) {
      return decision.weight != 0.0f && decision.advantage != 0.0f;
    });
  });
}

int64_t sampled_completions(const Rows& group) {
  return std::count_if(group.begin(), group.end(), [](const TrainRow& row) {
    return row.origin == Origin::kSampled;
  });
}

/// Whether the loss changes parameters even where every advantage is 0.
bool learns_anyway(const algorithm::LossSettings& settings) {
  const algorithm::AlgorithmOptions& options = settings.algorithm;
  const auto loss = algorithm::LossRegistry::get("loss", options.loss)(settings);
  return loss->learns_without_advantage() || options.entropy_coef != 0.0 ||
         !options.adaptive_entropy.is_null() || options.has_kl_loss();
}

void add(Denominators& total, const Denominators& more) {
  total.decisions += more.decisions;
  total.sequences += more.sequences;
  total.groups += more.groups;
}

/// The places of this rank's groups among those of all ranks, which are as many as `total` then
/// says. Groups are numbered over all ranks; where all go to one optimizer step nothing is asked.
std::vector<size_t> places_of(const std::vector<Rows>& groups,
                              int64_t minibatches,
                              distributed::Communicator& communicator,
                              size_t& total) {
  std::vector<size_t> places(groups.size());
  std::iota(places.begin(), places.end(), size_t{0});
  total = groups.size();
  if (communicator.size() == 1 || minibatches == 1) return places;
  std::string own;
  for (const Rows& group : groups) own += core::str(group.front().group, " ");
  std::vector<int64_t> all;
  for (const std::string& numbers : communicator.all_gather_bytes(own)) {
    std::istringstream text(numbers);
    for (int64_t number = 0; text >> number;) all.push_back(number);
  }
  std::sort(all.begin(), all.end());
  total = all.size();
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto found = std::lower_bound(all.begin(), all.end(), groups[g].front().group);
    places[g] = static_cast<size_t>(found - all.begin());
  }
  return places;
}

/// Sums every share's denominators and the signal over all ranks: always the same call.
void agree(Schedule& schedule, distributed::Communicator& communicator) {
  std::vector<double> sums = {schedule.has_signal ? 1.0 : 0.0};
  for (const auto& minibatch : schedule.shares) {
    for (const Share& share : minibatch) {
      sums.push_back(static_cast<double>(share.denominators.decisions));
      sums.push_back(static_cast<double>(share.denominators.sequences));
      sums.push_back(static_cast<double>(share.denominators.groups));
    }
  }
  sums = communicator.reduce(std::move(sums));
  schedule.has_signal = sums.front() > 0.0;
  size_t next = 1;
  for (auto& minibatch : schedule.shares) {
    for (Share& share : minibatch) {
      share.denominators.decisions = static_cast<int64_t>(sums[next++]);
      share.denominators.sequences = static_cast<int64_t>(sums[next++]);
      share.denominators.groups = static_cast<int64_t>(sums[next++]);
    }
  }
}

}  // namespace

Denominators count_rows(const Rows& rows) {
  Denominators counts;
  int64_t last_group = -1;
  for (const TrainRow& row : rows) {
    const auto decisions =
        std::count_if(row.decisions.begin(), row.decisions.end(), [](const Decision& decision) {
          return decision.weight != 0.0f;
        });
    if (decisions == 0) continue;
    counts.decisions += decisions;
    ++counts.sequences;
    if (row.group < 0 || row.group != last_group) ++counts.groups;
    last_group = row.group;
  }
  return counts;
}

Schedule make_schedule(const std::vector<StepPart>& parts,
                       int64_t minibatches,
                       distributed::Communicator& communicator) {
  Schedule schedule;
  schedule.shares.assign(static_cast<size_t>(minibatches), std::vector<Share>(parts.size()));
  for (size_t p = 0; p < parts.size(); ++p) {
    const bool always_learns = learns_anyway(parts[p].loss);
    // Means and quantiles over a step's tokens are over all of them.
    const bool takes_all = always_learns || !algorithm::statistics_columns(parts[p].loss).empty();
    const std::vector<Rows> groups = groups_of(parts[p].rows);
    size_t total = 0;
    const std::vector<size_t> places = places_of(groups, minibatches, communicator, total);
    for (size_t g = 0; g < groups.size(); ++g) {
      Share& share = schedule.shares[places[g] * static_cast<size_t>(minibatches) / total][p];
      const Denominators counts = count_rows(groups[g]);
      add(share.denominators, counts);
      share.completions += sampled_completions(groups[g]);
      const bool learns = always_learns || has_advantage(groups[g]);
      if (!takes_all && !learns) {
        share.left_out += counts.decisions;
        continue;
      }
      schedule.has_signal = schedule.has_signal || learns;
      share.rows.insert(share.rows.end(), groups[g].begin(), groups[g].end());
    }
  }
  agree(schedule, communicator);
  return schedule;
}

}  // namespace sgrpo::learner
