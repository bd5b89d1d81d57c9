#include "checkpoint/manifest.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <system_error>

#include "checkpoint/io.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"

namespace sgrpo::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kVersion = 1;
constexpr std::string_view kPrefix = "step-";

/// A manifest names files below its folder only.
bool is_safe(const fs::path& file) {
  return !file.empty() && file.is_relative() &&
         std::none_of(file.begin(), file.end(), [](const fs::path& part) { return part == ".."; });
}

std::string damage_of(const fs::path& folder, const core::Json& record, const std::string& where) {
  const std::string name = core::get_string(record, "file", where);
  if (!is_safe(name)) return core::str("the manifest names '", core::printable(name), "'");
  std::error_code error;
  const uint64_t size = fs::file_size(folder / name, error);
  if (error) return core::str(name, " is missing");
  const int64_t expected = core::get_int(record, "bytes", where, 0);
  if (size != static_cast<uint64_t>(expected)) {
    return core::str(name, " has ", size, " bytes, the manifest says ", expected);
  }
  if (hash_file(folder / name) != core::get_string(record, "sha256", where)) {
    return core::str(name, " differs from its checksum");
  }
  return "";
}

}  // namespace

std::string step_name(int64_t step) {
  std::string digits = std::to_string(step);
  if (digits.size() < 6) digits.insert(0, 6 - digits.size(), '0');
  return std::string(kPrefix) + digits;
}

std::optional<int64_t> parse_step_name(const std::string& name) {
  if (!core::starts_with(name, kPrefix)) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (error != std::errc() || rest != end || step_name(step) != name) return std::nullopt;
  return step;
}

std::vector<int64_t> committed_steps(const fs::path& checkpoints) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (fs::directory_iterator entry(checkpoints, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::optional<int64_t> step = parse_step_name(entry->path().filename().string());
    std::error_code absent;
    if (step && fs::exists(entry->path() / kManifest, absent)) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void write_manifest(const fs::path& step_folder,
                    int64_t step,
                    const std::vector<WrittenFile>& files) {
  core::Json records = core::Json::array();
  for (const WrittenFile& file : files) {
    records.push_back({{"file", file.file}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  const core::Json manifest = {{"version", kVersion}, {"step", step}, {"files", records}};
  core::write_file_atomic(step_folder / kManifest, manifest.dump(2) + "\n");
}

std::string find_damage(const fs::path& step_folder, const std::string& prefix) {
  const std::string where = (step_folder / kManifest).string();
  try {
    const core::Json manifest = core::parse_json(core::read_file(where), where);
    const int64_t version = core::get_int(manifest, "version", where);
    if (version != kVersion) {
      return core::str("the manifest has version ", version, ", expected ", kVersion);
    }
    const int64_t step = core::get_int(manifest, "step", where);
    const std::optional<int64_t> named = parse_step_name(step_folder.filename().string());
    if (named && *named != step) return core::str("the manifest is of step ", step);
    const core::Json* files = core::find(manifest, "files");
    if (files == nullptr || !files->is_array() || files->empty()) {
      return "the manifest lists no files";
    }
    for (const core::Json& record : *files) {
      if (!core::starts_with(core::get_string(record, "file", where), prefix)) continue;
      if (std::string damage = damage_of(step_folder, record, where); !damage.empty()) {
        return damage;
      }
    }
  } catch (const core::Error& error) {
    return error.what();
  }
  return "";
}

int64_t newest_intact(const fs::path& checkpoints) {
  const std::vector<int64_t> steps = committed_steps(checkpoints);
  std::string found;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const fs::path folder = checkpoints / step_name(*step);
    const std::string damage = find_damage(folder);
    if (damage.empty()) return *step;
    core::warn("skipping damaged checkpoint ", folder.string(), ": ", damage);
    found += core::str(found.empty() ? "" : "; ", step_name(*step), ": ", damage);
  }
  throw core::NoCheckpointError(core::str("no usable checkpoint in ",
                                          checkpoints.string(),
                                          ": ",
                                          found.empty() ? "no step was ever committed" : found));
}

}  // namespace sgrpo::checkpoint
