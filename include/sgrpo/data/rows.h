// JSONL rows -> PromptRecords; bad rows are named, never silently lost. No tensors.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sgrpo/core/error.h"
#include "sgrpo/types/prompt_record.h"

namespace sgrpo::data {

/// A bad row: "file.jsonl:12 (id 'r1'): reason".
class RecordError : public core::UserError {
 public:
  RecordError(const RowSource& source, std::string id, const std::string& reason);
  const std::string& id() const { return id_; }
  const RowSource& source() const { return source_; }
  const std::string& reason() const { return reason_; }

 private:
  std::string id_, reason_;
  RowSource source_;
};

/// How paths and rows are read.
struct RowOptions {
  std::optional<std::filesystem::path> image_dir = {};   // default: the data file's folder
  std::optional<std::filesystem::path> image_root = {};  // every image must resolve beneath it
  bool requires_prompt = true;                           // false: rows for verify
  /// Writes ground_truth_completion where a row has a ground truth and none of its own: the text
  /// with every {ground_truth} replaced
  std::optional<std::string> ground_truth_template = {};
  /// By id: the column `baseline` of rows that have none
  std::shared_ptr<const std::map<std::string, double>> baselines = {};
};

/// Parses one JSON object: aliases (messages, problem, conversations, solution, answer, image; two
/// that differ are refused), a prompt as string or messages, a last assistant turn as its
/// completion, <image> markers, images without any marker first, path rules. What would change the
/// prompt and is not rendered is refused by name. `id` defaults to the line number; numbers keep
/// their text if `row` was parsed with core::Numbers::kText. Throws RecordError.
PromptRecord parse_row(const core::Json& row, const RowSource& source, const RowOptions& options);

/// A good row or what is wrong with it, in file order.
using RowResult = std::variant<PromptRecord, RecordError>;

/// All rows of a file: UTF-8, BOM and CRLF accepted, blank lines skipped, a cut last line is a bad
/// row. Throws core::UserError if the file cannot be read or has no row at all.
std::vector<RowResult> read_rows(const std::filesystem::path& path, const RowOptions& options);

/// The same for a file's bytes; `name` is its path.
std::vector<RowResult> parse_rows(std::string_view bytes,
                                  const std::string& name,
                                  const RowOptions& options);

}  // namespace sgrpo::data
