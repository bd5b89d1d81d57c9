// Bytes of a JSONL file -> rows, good and bad, in file order.
#include "sgrpo/data/rows.h"

#include <algorithm>

#include "data/parallel.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"

namespace sgrpo::data {
namespace {

using core::str;
using core::UserError;
using std::string_view_literals::operator""sv;

constexpr auto kByteOrderMark = "\xEF\xBB\xBF"sv;

/// Files that are not lines of JSON at all are named once, not once a line.
void check_kind(std::string_view bytes, const std::string& name) {
  const auto refuse = [&](const std::string& what) {
    throw UserError(str(name, ": is ", what, ", expected JSONL: one JSON object a line"));
  };
  if (const std::string_view kind = core::binary_kind(bytes); !kind.empty())
    refuse(std::string(kind));
  if (core::starts_with(bytes, "\xFF\xFE"sv) || core::starts_with(bytes, "\xFE\xFF"sv))
    refuse("UTF-16 text (save it as UTF-8)");
  const std::string_view first = core::trim(bytes.substr(0, bytes.find('\n')));
  if (first == "[" || core::starts_with(first, "[{"))
    refuse("a JSON array (convert it with `jq -c '.[]'`)");
}

/// One row's text.
struct Line {
  std::string_view text;
  int64_t number = 0;   // counted from 1, blank lines included
  bool is_cut = false;  // the file ends without a line feed
};

/// The lines that are not blank.
std::vector<Line> split_lines(std::string_view bytes) {
  std::vector<Line> lines;
  for (int64_t number = 1; !bytes.empty(); ++number) {
    const size_t end = bytes.find('\n');
    const bool is_cut = end == std::string_view::npos;
    const std::string_view text = core::trim(bytes.substr(0, end));
    bytes.remove_prefix(is_cut ? bytes.size() : end + 1);
    if (!text.empty()) lines.push_back({text, number, is_cut});
  }
  return lines;
}

/// Counted from 1: where the repaired text departs from the line.
size_t first_bad_byte(std::string_view line) {
  const std::string valid = core::to_valid_utf8(line);
  const auto [bad, repaired] = std::mismatch(line.begin(), line.end(), valid.begin(), valid.end());
  return static_cast<size_t>(bad - line.begin()) + 1;
}

RowResult read_row(std::string_view line, const RowSource& source, const RowOptions& options) {
  const std::string default_id = std::to_string(source.line);
  if (!core::is_valid_utf8(line)) {
    return RecordError(
        source,
        default_id,
        str("byte ", first_bad_byte(line), " of the line is not UTF-8; save the file as UTF-8"));
  }
  core::Json row;
  try {
    row = core::parse_json(line, "row", core::Numbers::kText);
  } catch (const UserError& error) {
    return RecordError(source, default_id, std::string(error.what()).substr(5));
  }
  try {
    return parse_row(row, source, options);
  } catch (const RecordError& error) {
    return error;
  }
}

}  // namespace

RecordError::RecordError(const RowSource& source, std::string id, const std::string& reason)
    : core::UserError(str(source.str(), " (id '", core::printable(id), "'): ", reason)),
      id_(std::move(id)),
      reason_(reason),
      source_(source) {}

std::vector<RowResult> parse_rows(std::string_view bytes,
                                  const std::string& name,
                                  const RowOptions& options) {
  if (core::starts_with(bytes, kByteOrderMark)) bytes.remove_prefix(kByteOrderMark.size());
  check_kind(bytes, name);
  const std::vector<Line> lines = split_lines(bytes);
  if (lines.empty()) throw UserError(str(name, ": has no rows, expected one JSON object a line"));
  std::vector<RowResult> rows(lines.size());
  constexpr size_t kGrain = 256;  // a thread costs as much as a few hundred rows
  run_parallel(lines.size(), all_threads(), kGrain, [&](size_t i) {
    const Line& line = lines[i];
    const RowSource source{.file = name, .line = line.number};
    rows[i] = read_row(line.text, source, options);
    const auto* bad = std::get_if<RecordError>(&rows[i]);
    if (line.is_cut && bad != nullptr && core::starts_with(bad->reason(), "not valid JSON"))
      rows[i] = RecordError(source, bad->id(), "the last line is cut; " + bad->reason());
  });
  return rows;
}

std::vector<RowResult> read_rows(const std::filesystem::path& path, const RowOptions& options) {
  return parse_rows(core::read_file(path), path.string(), options);
}

}  // namespace sgrpo::data
