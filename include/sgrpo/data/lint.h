// A data file -> everything that a run would find wrong with it, without a GPU and without weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "sgrpo/data/encoder.h"
#include "sgrpo/data/image_catalog.h"
#include "sgrpo/data/rows.h"

namespace sgrpo::data {

/// What lint_file looks for.
struct LintOptions {
  RowOptions rows;
  ImageCheck images = ImageCheck::kHeader;
  std::shared_ptr<const PromptEncoder> encoder;  // null: no tokens are counted
  bool requires_completion = false;              // SFT: a row with nothing to learn from is bad
  bool takes_last_turn = false;                  // SFT: a prompt may end with its completion
  bool requires_ground_truth = false;            // trainer.sft_steps: likewise without ground truth
  std::shared_ptr<ImageCatalog> catalog;         // shared by several files; null: one of its own
};

/// One thing wrong with a row. `check` is row, duplicate_id, image, prompt, long_prompt,
/// ground_truth, long_ground_truth, completion or verifier.
struct Problem {
  std::string check;
  std::string reason;

  /// Whether a run leaves the row out for it; the others are for the user to judge.
  bool is_fatal() const { return check != "duplicate_id" && check != "verifier"; }
};

/// One row of the file; without problems a run takes it.
struct LintedRow {
  RowSource source;
  std::string id;
  std::shared_ptr<const PromptRecord> record;  // null: the row could not be parsed
  std::vector<Problem> problems;
  int64_t prompt_tokens = -1;        // image tokens included; -1: unknown
  int64_t ground_truth_tokens = -1;  // of what injection would use, turn end included; -1: unknown
  int64_t same_prompt_line = 0;      // of the first row with this prompt and these images; 0: none
  bool contradicts = false;          // that row has another ground truth

  /// "file.jsonl:12 (id 'r1'): reason; reason".
  std::string message() const;
};

/// Checks every row of a file, in file order, on all cores: parsing, ids and prompts given twice,
/// images, and with an encoder the tokens of prompt, ground truth and completion as PromptEncoder
/// counts them, against the limits of its EncoderSpec. Throws core::UserError if the file cannot be
/// read or has no row; core::Interrupted after a requested stop.
std::vector<LintedRow> lint_file(const std::filesystem::path& path, const LintOptions& options);

/// Count, mean and nearest-rank percentiles of the values that are not negative.
struct TokenSummary {
  int64_t count = 0;
  double mean = 0.0;
  int64_t p50 = 0, p90 = 0, p99 = 0, max = 0;
};
TokenSummary summarise_tokens(std::vector<int64_t> tokens);

}  // namespace sgrpo::data
