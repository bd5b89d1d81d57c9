#include "checkpoint/manifest.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <system_error>

#include "checkpoint/io.h"
#include "sgrpo/checkpoint/run_folder.h"
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

std::vector<int64_t> step_folders(const fs::path& checkpoints) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (fs::directory_iterator entry(checkpoints, error), end; !error && entry != end;
       entry.increment(error)) {
    if (const auto step = parse_step_name(entry->path().filename().string()))
      steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::vector<int64_t> committed_steps(const fs::path& checkpoints) {
  std::vector<int64_t> steps = step_folders(checkpoints);
  std::erase_if(steps, [&](int64_t step) {
    std::error_code absent;
    return !fs::exists(checkpoints / step_name(step) / kManifest, absent);
  });
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
    if (version > kVersion) {
      return core::str("a newer version of sgrpo wrote it (manifest version ",
                       version,
                       ", this one reads ",
                       kVersion,
                       ")");
    }
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

bool is_of_newer_version(const fs::path& step_folder) {
  const std::string where = (step_folder / kManifest).string();
  try {
    return core::get_int(core::parse_json(core::read_file(where), where), "version", where) >
           kVersion;
  } catch (const core::UserError&) {
    return false;  // missing or damaged, which find_damage tells
  }
}

int64_t newest_intact(const fs::path& checkpoints, int64_t below) {
  const std::vector<int64_t> steps = step_folders(checkpoints);
  std::string found;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (*step >= below) continue;
    const fs::path folder = checkpoints / step_name(*step);
    std::error_code absent;
    const bool is_committed = fs::exists(folder / kManifest, absent);
    const std::string damage =
        is_committed ? find_damage(folder)
                     : "manifest.json is missing (it was removed, or its save never finished)";
    if (damage.empty()) return *step;
    if (is_of_newer_version(folder)) {
      throw core::NoCheckpointError(core::str(folder.string(),
                                              ": ",
                                              damage,
                                              "; go on with that version, or choose another "
                                              "output_dir"));
    }
    core::warn("passing over ", is_committed ? "damaged " : "", folder.string(), ": ", damage);
    found += core::str(found.empty() ? "" : "; ", step_name(*step), ": ", damage);
  }
  throw core::NoCheckpointError(
      core::str("no usable checkpoint in ",
                checkpoints.string(),
                ": ",
                steps.empty()   ? "no step was ever committed"
                : found.empty() ? core::str("there is none before ", step_name(below))
                                : found + "; restore one of them, or choose another output_dir"));
}

}  // namespace sgrpo::checkpoint
