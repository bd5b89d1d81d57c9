// What opening a run consists of, besides its own files.
#pragma once

#include "trainer/run.h"

namespace sgrpo::trainer {

/// Refuses to be one of several processes of a launcher (torchrun, srun): each would do the same
/// run. Throws core::UserError naming the variable.
void check_alone();

/// trainer.deterministic, for all of the process. An operation that knows no deterministic way
/// warns and goes on.
void set_deterministic(bool wanted);

/// The ids that get no probability from `model` in this run: [Z] i64, empty without
/// rollout.sampling_mask.
at::Tensor mask_for(const Run& run, const model::Model& model);

/// The KL reference and its mask. Throws core::UserError if kl_ref: DIR reads token ids otherwise
/// than the policy.
void open_reference(Run& run);

}  // namespace sgrpo::trainer
