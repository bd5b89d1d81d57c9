// The JSONL of all completions and the console's table of a few.
#include <algorithm>
#include <array>
#include <cstdio>

#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "sgrpo/telemetry/telemetry.h"
#include "telemetry/console.h"
#include "telemetry/width.h"

namespace sgrpo::telemetry {
namespace {

struct Column {
  const char* title;
  bool numeric;
};

constexpr std::array<Column, 6> kColumns = {{{"prompt", false},
                                             {"completion", false},
                                             {"reward", true},
                                             {"status", false},
                                             {"origin", false},
                                             {"advantage", true}}};
constexpr size_t kTextColumns = 2;  // prompt and completion share what the others leave
constexpr size_t kLongestCell = 400;
constexpr size_t kMostOwed = 8;  // files kept in memory for a disk that fails
constexpr std::string_view kGap = "  ";

using Cells = std::array<std::string, kColumns.size()>;

/// The text of the last turn if `prompt` is a list of turns, of the string itself otherwise.
std::string last_text(const core::Json& prompt) {
  if (prompt.is_string()) return prompt.get<std::string>();
  if (prompt.is_array()) {
    for (auto item = prompt.rbegin(); item != prompt.rend(); ++item) {
      if (const std::string text = last_text(*item); !text.empty()) return text;
    }
  }
  for (const char* key : {"content", "text"}) {
    if (const core::Json* inner = core::find(prompt, key)) return last_text(*inner);
  }
  return "";
}

std::string cell(const core::Json& row, const std::string& key) {
  const core::Json* value = core::find(row, key);
  if (value == nullptr && key == "prompt") value = core::find(row, "prompt_id");
  if (value == nullptr) return "-";
  if (value->is_number_float()) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3f", value->get<double>());
    return text;
  }
  const bool is_text = value->is_string() || (key == "prompt" && !value->is_number());
  return core::printable(is_text ? last_text(*value) : core::dump_ascii(*value), kLongestCell);
}

/// Widths of all columns: numbers and words get what they need, the two texts share the rest.
std::array<size_t, kColumns.size()> column_widths(const std::vector<Cells>& rows, size_t total) {
  std::array<size_t, kColumns.size()> widths{};
  for (size_t c = 0; c < widths.size(); ++c) {
    for (const Cells& row : rows) widths[c] = std::max(widths[c], display_width(row[c]));
  }
  size_t taken = kGap.size() * (widths.size() - 1);
  for (size_t c = kTextColumns; c < widths.size(); ++c) taken += widths[c];
  const size_t room = std::max<size_t>(total > taken ? total - taken : 0, 24);
  if (widths[0] + widths[1] > room) {
    // The completion is what one looks for: it takes up to 60 %, more if the prompt is short.
    const size_t completion =
        std::min(widths[1], std::max(room * 3 / 5, room - std::min(room, widths[0])));
    widths[1] = completion;
    widths[0] = std::min(widths[0], room - completion);
  }
  return widths;
}

std::string file_name(int64_t step) {
  char name[48];
  std::snprintf(name, sizeof name, "step-%06lld.jsonl", static_cast<long long>(step));
  return name;
}

/// The step of a file's name; 0 for any other name.
int64_t step_in_name(const std::string& name) {
  long long step = 0;
  if (std::sscanf(name.c_str(), "step-%lld.jsonl", &step) != 1) return 0;
  return name == file_name(step) ? step : 0;
}

}  // namespace

CompletionsWriter::CompletionsWriter(const std::filesystem::path& run_folder)
    : folder_(run_folder / "completions") {}

void CompletionsWriter::write(int64_t step, const std::vector<core::Json>& rows) {
  std::string& text = owed_[step];
  text.clear();
  for (const core::Json& row : rows) text += core::dump_ascii(row) + "\n";
  std::string reason;
  for (auto file = owed_.begin(); file != owed_.end();) {
    try {
      std::filesystem::create_directories(folder_);
      core::write_file_atomic(folder_ / file_name(file->first), file->second);
      file = owed_.erase(file);
    } catch (const core::RunError& error) {
      reason = error.what();
      ++file;
    } catch (const std::filesystem::filesystem_error& error) {
      reason = error.what();
      ++file;
    }
  }
  if (reason.empty()) return;
  core::warn(reason, " (the run goes on, and tries again with the next step's completions)");
  if (owed_.size() <= kMostOwed) return;
  core::warn("the completions of step ", owed_.begin()->first, " are lost");
  owed_.erase(owed_.begin());
}

void cut_completions(const std::filesystem::path& run_folder, int64_t committed_step) {
  namespace fs = std::filesystem;
  std::vector<fs::path> later;
  std::error_code error;
  for (fs::directory_iterator entry(run_folder / "completions", error), end; !error && entry != end;
       entry.increment(error)) {
    if (step_in_name(entry->path().filename().string()) > committed_step)
      later.push_back(entry->path());
  }
  for (const fs::path& file : later) fs::remove_all(file, error);
}

std::string completions_table(const std::vector<core::Json>& rows, size_t max_rows) {
  std::vector<Cells> cells(1);
  for (size_t c = 0; c < kColumns.size(); ++c) cells[0][c] = kColumns[c].title;
  const size_t shown = std::min(rows.size(), max_rows);
  for (size_t r = 0; r < shown; ++r) {
    Cells& line = cells.emplace_back();
    for (size_t c = 0; c < kColumns.size(); ++c) line[c] = cell(rows[r], kColumns[c].title);
  }
  const auto widths = column_widths(cells, Console::width() - 1);
  std::string text;
  for (size_t r = 0; r < cells.size(); ++r) {
    std::string line;
    for (size_t c = 0; c < kColumns.size(); ++c) {
      if (c > 0) line += kGap;
      line += fit_to_width(cells[r][c], widths[c], kColumns[c].numeric);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    if (r > 0) continue;
    for (size_t c = 0; c < kColumns.size(); ++c) {
      text += std::string(c > 0 ? kGap : "") + std::string(widths[c], '-');
    }
    text += "\n";
  }
  if (rows.size() > shown) text += core::str("... and ", rows.size() - shown, " more\n");
  return text;
}

}  // namespace sgrpo::telemetry
