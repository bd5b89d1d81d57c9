// Recorded completions for rollout.replay: a file made by hand, or a run's own completions folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sgrpo/data/rows.h"
#include "sgrpo/types/prompt_record.h"
#include "sgrpo/types/verdict.h"

namespace sgrpo::data {

/// One recorded completion. Either `token_ids` is filled and used as it is, or `text` is encoded by
/// PromptEncoder::completion_ids.
struct RecordedCompletion {
  std::optional<std::vector<int64_t>> token_ids;
  std::string text;
  std::optional<double> reward;         // nothing: the verifier judges
  std::optional<VerdictStatus> status;  // of a run's own recording
};

/// The sampled members of one group, in the order of their sample index.
struct RecordedGroup {
  std::shared_ptr<const PromptRecord> record;
  std::vector<RecordedCompletion> completions;
  int64_t step = 0;  // of a run's own recording, counted from 1; 0 = a file made by hand
  RowSource source;  // where the group was recorded, for messages
};

/// Finds a prompt by id (PromptStream::find); null if there is none.
using RecordFinder = std::function<std::shared_ptr<const PromptRecord>(const std::string& id)>;

/// Reads recorded groups in file order. `path` is
/// - a JSONL file of data rows with `completions` (texts, or id lists) and optional `rewards`, or
/// - a run's completions folder, or one of its step files: rows are joined with their prompts
///   through `find`; injected ground truths are left out and replaced victims stand at their index
///   again, so that the group is what was sampled.
/// Throws core::UserError naming file, line and id; a recording is exact or refused.
std::vector<RecordedGroup> load_replay(const std::filesystem::path& path,
                                       const RowOptions& options,
                                       const RecordFinder& find);

}  // namespace sgrpo::data
