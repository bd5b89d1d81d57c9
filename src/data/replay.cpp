#include "sgrpo/data/replay.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "data/describe.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"

namespace sgrpo::data {
namespace {

namespace fs = std::filesystem;
using core::Json;
using core::str;
using core::UserError;

/// A parsed line of a recording.
struct RecordedLine {
  Json json;
  RowSource source;
};

std::vector<RecordedLine> read_lines(const fs::path& path) {
  const std::string bytes = core::read_file(path);
  std::vector<RecordedLine> lines;
  RowSource source{.file = path.string(), .line = 0};
  for (const std::string& text : core::split(bytes, '\n')) {
    ++source.line;
    if (core::trim(text).empty()) continue;
    lines.push_back(
        {core::parse_json(core::trim(text), source.str(), core::Numbers::kText), source});
    if (!lines.back().json.is_object())
      throw UserError(
          str(source.str(), ": the row is ", kind_of(lines.back().json), ", expected an object"));
  }
  if (lines.empty()) throw UserError(str(path.string(), ": has no rows to replay"));
  return lines;
}

double finite(const Json& value, const std::string& where) {
  const double number = core::number_value(value).value_or(NAN);
  if (!std::isfinite(number))
    throw UserError(str(where, ": a reward is ", kind_of(value), ", expected a finite number"));
  return number;
}

// ------------------------------------------------------------------ rows with `completions`

RecordedCompletion read_completion(const Json& value, const std::string& where) {
  RecordedCompletion completion;
  if (value.is_string()) {
    completion.text = value.get<std::string>();
  } else if (value.is_array() && !value.empty()) {
    completion.token_ids = core::get_int_list(Json{{"completions", value}}, "completions", where);
  } else {
    throw UserError(str(where,
                        ": an entry of 'completions' is ",
                        value.is_array() ? "an empty list" : kind_of(value),
                        ", expected a text or a list of token ids"));
  }
  return completion;
}

RecordedGroup read_group(const RecordedLine& line, const RowOptions& options) {
  RecordedGroup group;
  group.source = line.source;
  group.record = std::make_shared<const PromptRecord>(parse_row(line.json, line.source, options));
  const std::string where = str(line.source.str(), " (id '", group.record->id, "')");
  const Json* completions = core::find(line.json, "completions");
  if (completions == nullptr || !completions->is_array() || completions->empty())
    throw UserError(str(where, ": 'completions' must be a list of texts or of token id lists"));
  for (const Json& value : *completions) group.completions.push_back(read_completion(value, where));
  const Json* rewards = core::find(line.json, "rewards");
  if (rewards == nullptr) return group;
  if (!rewards->is_array() || rewards->size() != completions->size())
    throw UserError(str(where,
                        ": 'rewards' must be a list of ",
                        completions->size(),
                        " numbers, one per completion"));
  for (size_t i = 0; i < rewards->size(); ++i)
    group.completions[i].reward = finite((*rewards)[i], where);
  return group;
}

// ------------------------------------------------------------------ a run's own completions

VerdictStatus read_status(const Json& row, const std::string& where) {
  const std::string name = core::get_string(row, "status", where);
  if (const auto status = verdict_status(name)) return *status;
  throw UserError(str(where, ": unknown status '", core::printable(name), "'"));
}

/// Collects the rows of one group by sample index.
struct OpenGroup {
  std::string prompt_id;
  int64_t step = 0;
  RowSource source;
  std::map<int64_t, RecordedCompletion> members;
};

RecordedGroup close_group(OpenGroup& open, const RecordFinder& find) {
  RecordedGroup group;
  group.step = open.step;
  group.source = open.source;
  group.record = find(open.prompt_id);
  const std::string where = str(open.source.str(), " (prompt '", open.prompt_id, "')");
  if (!group.record)
    throw UserError(
        str(where, ": no row of data.train has this id; replay with the run's own data"));
  for (auto& [index, completion] : open.members) {
    if (index != static_cast<int64_t>(group.completions.size()))
      throw UserError(
          str(where, ": the completion with index ", group.completions.size(), " is missing"));
    group.completions.push_back(std::move(completion));
  }
  return group;
}

/// A new group begins where the prompt or step changes, or an index comes again (a prompt that was
/// drawn twice in a step).
void read_step_file(const fs::path& path,
                    const RecordFinder& find,
                    std::vector<RecordedGroup>& groups) {
  OpenGroup open;
  const auto close = [&] {
    if (!open.members.empty()) groups.push_back(close_group(open, find));
    open = {};
  };
  for (const RecordedLine& line : read_lines(path)) {
    const std::string where = line.source.str();
    if (core::get_string(line.json, "origin", where) == "ground_truth") continue;
    const std::string id = core::get_string(line.json, "prompt_id", where);
    const int64_t step = core::get_int(line.json, "step", where, 1);
    const int64_t index = core::get_int(line.json, "index", where, 0);
    if (id != open.prompt_id || step != open.step || open.members.count(index) != 0) close();
    if (open.members.empty()) {
      open.prompt_id = id;
      open.step = step;
      open.source = line.source;
    }
    RecordedCompletion& member = open.members[index];
    member.token_ids = core::get_int_list(line.json, "completion_ids", where);
    if (member.token_ids->empty())
      throw UserError(str(where,
                          " (prompt '",
                          core::printable(id),
                          "'): 'completion_ids' is an empty list, expected at least one token id"));
    member.text = core::get_string_or(line.json, "completion", "", where);
    if (const Json* reward = core::find(line.json, "reward"); reward != nullptr)
      member.reward = finite(*reward, where);
    member.status = read_status(line.json, where);
  }
  close();
}

std::vector<fs::path> step_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (core::starts_with(name, "step-") && entry.path().extension() == ".jsonl")
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) {
    const std::string left = a.filename().string(), right = b.filename().string();
    return std::pair(left.size(), left) < std::pair(right.size(), right);  // beyond 999999 steps
  });
  if (files.empty())
    throw UserError(
        str(folder.string(), ": has no step-*.jsonl, expected a run's completions folder"));
  return files;
}

}  // namespace

std::vector<RecordedGroup> load_replay(const fs::path& path,
                                       const RowOptions& options,
                                       const RecordFinder& find) {
  std::vector<RecordedGroup> groups;
  if (fs::is_directory(path)) {
    for (const fs::path& file : step_files(path)) read_step_file(file, find, groups);
  } else if (const auto lines = read_lines(path);
             core::find(lines.front().json, "prompt_id") != nullptr) {
    read_step_file(path, find, groups);
  } else {
    for (const RecordedLine& line : lines) groups.push_back(read_group(line, options));
  }
  if (groups.empty()) throw UserError(str(path.string(), ": has no sampled completion to replay"));
  return groups;
}

}  // namespace sgrpo::data
