#include "cli/lint_summary.h"

#include <algorithm>

#include "sgrpo/core/log.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/text.h"

namespace sgrpo::cli {
namespace {

using core::Json;
using core::str;

constexpr size_t kExamples = 5;

Json tokens_json(const data::TokenSummary& tokens) {
  return {{"count", tokens.count},
          {"mean", tokens.mean},
          {"p50", tokens.p50},
          {"p90", tokens.p90},
          {"p99", tokens.p99},
          {"max", tokens.max}};
}

void log_tokens(const char* name, const std::vector<int64_t>& values) {
  const data::TokenSummary tokens = data::summarise_tokens(values);
  if (tokens.count == 0) return;
  core::info(name,
             " tokens of ",
             tokens.count,
             " rows: mean ",
             tokens.mean,
             ", p50 ",
             tokens.p50,
             ", p90 ",
             tokens.p90,
             ", p99 ",
             tokens.p99,
             ", max ",
             tokens.max);
}

std::string counted(const std::map<std::string, int64_t>& counts) {
  std::vector<std::string> parts;
  for (const auto& [name, count] : counts) parts.push_back(str(count, " ", name));
  return core::join(parts, ", ");
}

}  // namespace

void LintSummary::add(const data::LintedRow& row, bool is_train) {
  ++rows_;
  bad_rows_ += !row.problems.empty();
  std::map<std::string, bool> checks;
  std::string fatal;
  for (const data::Problem& problem : row.problems) {
    checks[problem.check] = true;
    if (fatal.empty() && problem.is_fatal()) fatal = problem.check;
  }
  for (const auto& [check, seen] : checks) ++problems_[check];
  if (!fatal.empty()) {
    ++left_out_;
    ++reasons_[fatal];
  }
  if (is_train) {
    ++train_rows_;
    train_long_ += fatal == "long_prompt" ? 1 : 0;
    train_bad_ += fatal.empty() || fatal == "long_prompt" ? 0 : 1;
  }
  prompt_tokens_.push_back(row.prompt_tokens);
  ground_truth_tokens_.push_back(row.ground_truth_tokens);
  if (row.same_prompt_line > 0) {
    ++same_prompt_;
    contradicting_ += row.contradicts ? 1 : 0;
    if (same_prompt_examples_.size() < kExamples) {
      same_prompt_examples_.push_back(str(row.source.str(),
                                          " repeats line ",
                                          row.same_prompt_line,
                                          row.contradicts ? " with another ground truth" : ""));
    }
  }
  if (row.record == nullptr) return;
  image_places_ += static_cast<int64_t>(row.record->images.size());
  missing_ground_truth_ += !row.record->injected_text().has_value();
  answered_ += row.record->completion_was_last_turn ? 1 : 0;
}

void LintSummary::set_images(const data::ImageCatalog& catalog, bool is_full) {
  is_full_ = is_full;
  slowest_ = catalog.costs();
  image_files_ = static_cast<int64_t>(slowest_.size());
  for (const auto& file : slowest_) image_ms_ += file.cpu_ms / static_cast<double>(image_files_);
  if (image_files_ > 0) median_ms_ = slowest_[slowest_.size() / 2].cpu_ms;
  slowest_.resize(std::min(slowest_.size(), kExamples));
}

/// As a run counts: one bad row is tolerated unless the fraction is 0, long prompts are not bad.
bool LintSummary::stops_run() const {
  if (options_.on_long_prompt == data::OnLongPrompt::kError && train_long_ > 0) return true;
  const double fraction = options_.max_bad_fraction;
  const double allowed =
      fraction <= 0 ? 0 : std::max(1.0, fraction * static_cast<double>(train_rows_));
  return static_cast<double>(train_bad_) > allowed;
}

Json LintSummary::to_json() const {
  Json slowest = Json::array();
  for (const auto& file : slowest_)
    slowest.push_back({{"path", file.path}, {"cpu_ms", file.cpu_ms}});
  return {{"rows", rows_},
          {"bad_rows", bad_rows_},
          {"problems", Json(problems_)},
          {"left_out", {{"rows", left_out_}, {"reasons", Json(reasons_)}}},
          {"stops_run", stops_run()},
          {"same_prompt", {{"rows", same_prompt_}, {"contradicting", contradicting_}}},
          {"images", image_places_},
          {"image_files",
           {{"usable", image_files_},
            {"cpu_ms", image_ms_},
            {"median_cpu_ms", median_ms_},
            {"slowest", slowest}}},
          {"missing_ground_truth", missing_ground_truth_},
          {"ends_with_assistant", answered_},
          {"prompt_tokens", tokens_json(data::summarise_tokens(prompt_tokens_))},
          {"ground_truth_tokens", tokens_json(data::summarise_tokens(ground_truth_tokens_))}};
}

void LintSummary::log_left_out() const {
  if (left_out_ > 0) {
    core::info("a run leaves out ", left_out_, " of ", rows_, " rows: ", counted(reasons_));
  }
  if (stops_run()) {
    core::info("a run stops: ",
               train_bad_,
               " of ",
               train_rows_,
               " training rows are bad (data.max_bad_fraction = ",
               options_.max_bad_fraction,
               "), ",
               train_long_,
               " prompts are too long (data.on_long_prompt: ",
               core::name_of(options_.on_long_prompt),
               ")");
  }
}

void LintSummary::log_images() const {
  if (image_files_ == 0) return;
  core::info(image_files_,
             " usable image files, ",
             is_full_ ? "read, decoded, resized and patched" : "read and their headers checked",
             " in ",
             image_ms_,
             " CPU ms each on average");
  if (!is_full_) return;
  for (const auto& file : slowest_) core::info("  slowest: ", file.cpu_ms, " ms ", file.path);
}

void LintSummary::log() const {
  core::info(rows_,
             " rows, ",
             image_places_,
             " images; ",
             bad_rows_,
             " bad rows, ",
             missing_ground_truth_,
             " rows without ground truth");
  for (const auto& [check, count] : problems_) core::info("  ", check, ": ", count, " rows");
  log_left_out();
  if (answered_ > 0) {
    core::info(answered_,
               " prompts end with an assistant turn: sft learns it as the completion, every other "
               "command refuses the row (--task train lists them)");
  }
  if (same_prompt_ > 0) {
    core::info(same_prompt_,
               " rows repeat the prompt and images of an earlier one, ",
               contradicting_,
               " of them with another ground truth:");
    for (const std::string& example : same_prompt_examples_) core::info("  ", example);
  }
  log_images();
  log_tokens("prompt", prompt_tokens_);
  log_tokens("ground-truth", ground_truth_tokens_);
}

}  // namespace sgrpo::cli
