// The bodies of `generate` and `logprobs`: rows in, rows out; bad rows become error rows.
#pragma once

#include <filesystem>
#include <optional>

#include "sgrpo/eval/policy.h"
#include "sgrpo/types/train_batch.h"

namespace sgrpo::eval {

/// Options of `generate`; end ids and masked ids are the policy's.
struct GenerateOptions {
  int64_t group_size = 1;
  int64_t max_new_tokens = 128;
  double temperature = 1.0;
  double top_p = 1.0;
  int64_t top_k = 0;
  bool greedy = false;
  bool ignore_eos = false;
  uint64_t seed = 0;
  int64_t max_batch_rows = 256;
};

/// Samples completions for every row of `input` and writes {"id", "index", "completion",
/// "completion_ids", "logprobs", "finish_reason"} to `output`, row by row as they finish. Returns
/// the number of bad rows ({"id", "error"} rows).
int64_t generate_file(const Policy& policy,
                      const std::filesystem::path& input,
                      const std::filesystem::path& output,
                      const GenerateOptions& options);

/// Options of `logprobs`.
struct LogprobOptions {
  double temperature = 1.0;
  bool use_sampling_mask = false;
  std::optional<std::filesystem::path>
      grad;  // writes d(mean completion NLL)/d(parameter); needs exactly one row
};

/// Scores the completion of every row under the full distribution and writes {"id", "prompt_ids",
/// "completion_ids", "logprobs", "entropy"}. Returns the number of bad rows. Throws core::UserError
/// for `grad` with another number of rows.
int64_t logprobs_file(const Policy& policy,
                      const std::filesystem::path& input,
                      const std::filesystem::path& output,
                      const LogprobOptions& options);

/// A packed batch of one prompt and one completion: what `logprobs` scores.
TrainBatch single_batch(const EncodedPrompt& prompt, const std::vector<int64_t>& completion_ids);

}  // namespace sgrpo::eval
