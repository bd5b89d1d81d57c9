// Run folders -> one report.html.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace sgrpo::trainer {

/// Writes a self-contained page with the curves of all runs and a few completions of each with
/// their images, read back from the folders: metrics.jsonl, completions/, config.yaml and the data
/// that it names. Throws core::UserError if a folder is not a run.
void write_run_report(const std::filesystem::path& output,
                      const std::vector<std::filesystem::path>& runs,
                      const std::string& title);

}  // namespace sgrpo::trainer
