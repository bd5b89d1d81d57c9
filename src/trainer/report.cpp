#include "sgrpo/trainer/report.h"

#include <algorithm>
#include <map>
#include <set>

#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "sgrpo/data/stream.h"
#include "sgrpo/telemetry/telemetry.h"
#include "sgrpo/trainer/load_config.h"

namespace sgrpo::trainer {
namespace {

namespace fs = std::filesystem;
using core::Json;

constexpr size_t kSamplesPerFile = 4;

/// Rows of a run's training data by id.
std::map<std::string, PromptRecord> read_records(const RunConfig& config) {
  std::map<std::string, PromptRecord> records;
  for (const data::TrainEntry& entry : data::train_entries(config.data.train)) {
    for (auto& row : data::read_rows(entry.path, data::row_options(config.data))) {
      if (auto* record = std::get_if<PromptRecord>(&row))
        records.emplace(record->id, std::move(*record));
    }
  }
  return records;
}

/// A run outlives its data and moves between machines: then its samples show ids alone.
std::map<std::string, PromptRecord> records_of(const fs::path& run) {
  try {
    return read_records(load_run_config(run / "config.yaml", {}));
  } catch (const core::UserError& error) {
    core::warn("report of ", run.string(), ": prompts and images are left out: ", error.what());
    return {};
  }
}

std::string prompt_text(const PromptRecord& record) {
  std::string text;
  for (const Message& message : record.messages) {
    for (const ContentPart& part : message.content) text += part.text;
  }
  return text;
}

/// The first, the middle and the last completions file.
std::vector<fs::path> chosen_files(const fs::path& folder) {
  std::vector<fs::path> files;
  if (fs::is_directory(folder)) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() == ".jsonl") files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  if (files.size() <= 3) return files;
  return {files.front(), files[files.size() / 2], files.back()};
}

/// A few rows of one step, each of another prompt, injected ones first.
std::vector<Json> chosen_rows(const fs::path& file) {
  std::vector<Json> rows;
  for (const std::string& line : core::split(core::read_file(file), '\n')) {
    if (!line.empty()) rows.push_back(core::parse_json(line, file.string()));
  }
  std::stable_partition(rows.begin(), rows.end(), [](const Json& row) {
    return row.value("origin", "") == "ground_truth";
  });
  std::vector<Json> result;
  std::set<std::string> prompts;
  for (const Json& row : rows) {
    // One injected member at most: the others show what the policy itself says.
    const bool is_injected = row.value("origin", "") == "ground_truth";
    if (is_injected && !result.empty()) continue;
    if (result.size() < kSamplesPerFile && prompts.insert(row.value("prompt_id", "")).second)
      result.push_back(row);
  }
  return result;
}

telemetry::ReportSample sample_of(const std::string& run,
                                  const Json& row,
                                  const PromptRecord* record) {
  telemetry::ReportSample sample;
  sample.run = run;
  sample.step = row.value("step", int64_t{0});
  sample.completion = row.value("completion", "");
  sample.status = row.value("status", "");
  sample.reward = row.value("reward", 0.0);
  sample.advantage = row.value("advantage", 0.0);
  sample.origin = row.value("origin", "");
  sample.prompt = row.value("prompt_id", "");
  if (record != nullptr) {
    sample.prompt = prompt_text(*record);
    sample.ground_truth = record->ground_truth.value_or("");
    sample.images = record->images;
  }
  return sample;
}

}  // namespace

void write_run_report(const fs::path& output,
                      const std::vector<fs::path>& folders,
                      const std::string& title) {
  std::vector<telemetry::ReportRun> runs;
  std::vector<telemetry::ReportSample> samples;
  for (const fs::path& given : folders) {
    const fs::path folder = given.has_filename() ? given : given.parent_path();
    if (!fs::exists(folder / "config.yaml") || !fs::exists(folder / "metrics.jsonl")) {
      throw core::UserError(core::str(
          folder.string(), " is not a run: expected config.yaml and metrics.jsonl in it"));
    }
    const std::string name = folder.filename().string();
    runs.push_back({.name = name, .folder = folder});
    const auto files = chosen_files(folder / "completions");
    if (files.empty()) continue;
    const auto records = records_of(folder);
    for (const fs::path& file : files) {
      for (const Json& row : chosen_rows(file)) {
        const auto found = records.find(row.value("prompt_id", ""));
        samples.push_back(sample_of(name, row, found == records.end() ? nullptr : &found->second));
      }
    }
  }
  telemetry::write_report(output, title, runs, samples);
}

}  // namespace sgrpo::trainer
