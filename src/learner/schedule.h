// Which rows an optimizer step takes, and what its sums are divided by.
#pragma once

#include <vector>

#include "sgrpo/learner/learner.h"

namespace sgrpo::learner {

/// The rows of one part in one optimizer step.
struct Share {
  std::vector<TrainRow> rows;  // to be packed
  Denominators denominators;   // over all ranks, rows that are left out included
  int64_t left_out = 0;        // decisions of this rank that count in the loss
  int64_t completions = 0;     // sampled ones of this rank, those left out included
};

/// The parts' shares in every optimizer step of an epoch: shares[minibatch][part].
struct Schedule {
  std::vector<std::vector<Share>> shares;
  bool has_signal = false;  // on any rank
};

/// Deals the parts' groups to optimizer steps, leaves out what cannot change a parameter, and
/// counts over all ranks.
Schedule make_schedule(const std::vector<StepPart>& parts,
                       int64_t minibatches,
                       distributed::Communicator& communicator);

/// Denominators of rows of this rank.
Denominators count_rows(const std::vector<TrainRow>& rows);

}  // namespace sgrpo::learner
