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

/// Refuses an output_dir that is a model folder. Throws core::UserError.
void check_output_folder(const std::filesystem::path& folder);

/// Opens the run's folder once model and data are open: continues the run found there or named by
/// trainer.resume, cuts metrics and completions back to its step, writes config.yaml. A folder that
/// holds another run's steps is not silently overwritten. Throws core::UserError,
/// core::NoCheckpointError.
void open_folder(Run& run);

/// The KL reference and its mask. Throws core::UserError if kl_ref: DIR reads token ids otherwise
/// than the policy.
void open_reference(Run& run);

}  // namespace sgrpo::trainer
