#include "data/train_files.h"

#include <algorithm>
#include <cmath>

#include "data/baselines.h"
#include "data/describe.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/sha256.h"
#include "sgrpo/core/text.h"
#include "sgrpo/data/stream.h"

namespace sgrpo::data {
namespace {

using core::Json;
using core::str;
using core::UserError;

constexpr int64_t kMostSteps = 1'000'000'000'000;  // of trainer.steps

/// An entry that is no path alone.
TrainEntry read_object(const Json& entry, const std::string& where) {
  const std::vector<std::string> known = {"path", "weight", "from_step", "until_step"};
  for (const auto& [key, value] : entry.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      throw UserError(str(where,
                          ": unknown key '",
                          core::printable(key),
                          "'",
                          core::did_you_mean(key, known),
                          ", expected path, weight, from_step and until_step"));
  }
  TrainEntry file;
  file.path = core::get_string(entry, "path", where);
  file.weight = core::get_double_or(entry, "weight", 1.0, where);
  file.from_step = core::get_int_or(entry, "from_step", 1, where, 1, kMostSteps);
  const Json* until = core::find(entry, "until_step");
  if (until != nullptr && !until->is_null())
    file.until_step = core::get_int(entry, "until_step", where, file.from_step, kMostSteps);
  return file;
}

TrainEntry read_entry(const Json& entry, const std::string& where) {
  TrainEntry file;
  if (entry.is_string()) {
    file.path = entry.get<std::string>();
  } else if (entry.is_object()) {
    file = read_object(entry, where);
  } else {
    throw UserError(str(where, " is ", kind_of(entry), ", expected a path or {path, weight}"));
  }
  if (file.path.empty()) throw UserError(str(where, ": the path is empty"));
  file.path = core::expand_home(file.path);
  if (!(file.weight > 0) || !std::isfinite(file.weight))
    throw UserError(str(where, ".weight is ", file.weight, ", expected a number above 0"));
  return file;
}

void read_content(const RowOptions& options, TrainFile& file) {
  const std::string bytes = core::read_file(file.path);
  file.sha256 = core::sha256_hex(bytes);
  for (RowResult& row : parse_rows(bytes, file.path, options)) {
    if (auto* record = std::get_if<PromptRecord>(&row); record != nullptr) {
      file.records.push_back(std::make_shared<const PromptRecord>(std::move(*record)));
    } else {
      file.records.push_back(nullptr);
      file.errors.push_back(std::get<RecordError>(row));
    }
  }
}

}  // namespace

std::vector<TrainEntry> train_entries(const Json& train) {
  std::vector<TrainEntry> entries;
  if (train.is_array()) {
    for (size_t i = 0; i < train.size(); ++i)
      entries.push_back(read_entry(train[i], str("data.train[", i, "]")));
  } else if (!train.is_null()) {
    entries.push_back(read_entry(train, "data.train"));
  }
  if (entries.empty())
    throw UserError("data.train is empty, expected a JSONL file or a list of {path, weight}");
  return entries;
}

void check_steps(const std::vector<TrainEntry>& entries, int64_t steps) {
  std::vector<int64_t> begins = {1};  // a gap begins behind an entry's last step
  for (const TrainEntry& entry : entries) {
    if (entry.until_step < steps) begins.push_back(entry.until_step + 1);
  }
  std::sort(begins.begin(), begins.end());
  for (const int64_t step : begins) {
    const bool is_active = std::any_of(entries.begin(), entries.end(), [&](const auto& entry) {
      return entry.from_step <= step && step <= entry.until_step;
    });
    if (is_active || step > steps) continue;
    throw UserError(str("data.train: no entry is active at step ",
                        step,
                        " of ",
                        steps,
                        "; lower a from_step, raise an until_step, or shorten the run "
                        "(trainer.steps)"));
  }
}

std::vector<TrainFile> read_train_files(const DataOptions& options) {
  RowOptions rows = row_options(options);
  if (options.baseline) rows.baselines = read_baselines(*options.baseline);
  std::vector<TrainFile> files;
  for (TrainEntry& entry : train_entries(options.train)) {
    files.push_back({{std::move(entry)}, {}, {}, {}});
    read_content(rows, files.back());
  }
  return files;
}

}  // namespace sgrpo::data
