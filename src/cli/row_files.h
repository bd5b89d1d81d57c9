// The bodies of `generate` and `logprobs`: rows in, rows out; bad rows become error rows.
#pragma once

#include <filesystem>
#include <optional>

#include "sgrpo/policy/policy.h"

namespace sgrpo::cli {

/// Options of `generate`; end ids are the policy's.
struct GenerateOptions {
  int64_t group_size = 1;
  SamplingOptions sampling;
  bool ignore_eos = false;
  uint64_t seed = 0;
};

/// Samples completions for every row of `input` and writes {"id", "index", "completion",
/// "completion_ids", "logprobs", "finish_reason"} to `output`, row by row as they finish. Returns
/// the number of bad rows ({"id", "error"} rows).
int64_t generate_file(const policy::Policy& policy,
                      const std::filesystem::path& input,
                      const std::filesystem::path& output,
                      const GenerateOptions& options);

/// Options of `logprobs`.
struct LogprobOptions {
  double temperature = 1.0;
  bool use_sampling_mask = false;
  /// Writes d(mean completion NLL)/d(parameter); needs exactly one row
  std::optional<std::filesystem::path> grad;
};

/// Scores the completion of every row under the full distribution and writes {"id", "prompt_ids",
/// "completion_ids", "logprobs", "entropy"}. Returns the number of bad rows. Throws core::UserError
/// for `grad` with another number of rows.
int64_t logprobs_file(policy::Policy& policy,
                      const std::filesystem::path& input,
                      const std::filesystem::path& output,
                      const LogprobOptions& options);

}  // namespace sgrpo::cli
