#include "trainer/alarms.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <system_error>
#include <utility>

#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/text.h"

namespace sgrpo::trainer {
namespace {

using core::str;

constexpr int64_t kInARow = 20;     // steps
constexpr double kMostCut = 0.9;    // of the completions
constexpr int64_t kFirstSteps = 5;  // that tell how long completions were
constexpr double kCollapsed = 0.2;  // of that length
constexpr size_t kWindow = 100;     // values that tell what is usual
constexpr size_t kFewest = 20;      // before that no spike is told
constexpr double kSpike = 10.0;     // times the median

/// Of the sizes: a policy loss swings around 0.
double median_size(const std::deque<double>& values) {
  std::vector<double> sorted;
  for (const double value : values) sorted.push_back(std::abs(value));
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

}  // namespace

bool Alarms::Streak::is_due(bool holds) {
  length = holds ? length + 1 : 0;
  if (is_said || length < kInARow) return false;
  is_said = true;
  return true;
}

double Alarms::Series::excess(double value) {
  if (!std::isfinite(value)) return 0.0;  // counted and skipped elsewhere
  const double usual = values.size() < kFewest ? 0.0 : median_size(values);
  values.push_back(value);
  if (values.size() > kWindow) values.pop_front();
  return usual > 0.0 ? value / usual : 0.0;
}

std::vector<std::string> Alarms::watch(int64_t step, const StepReport& report) {
  std::vector<std::string> warnings;
  watch_cuts(report, warnings);
  if (report.has("cgi/frac_dead_after") && dead_.is_due(report.get("cgi/frac_dead_after") >= 1.0 &&
                                                        report.get("group/frac_all_pass") < 1.0)) {
    warnings.push_back(str("no group had any spread of rewards in the last ",
                           kInARow,
                           " steps (cgi/frac_dead_after = 1), so that nothing was learned: raise "
                           "rollout.group_size or rollout.temperature, set injection.when: "
                           "all_fail, or give easier rows"));
  }
  watch_reward(report, warnings);
  watch_length(report, warnings);
  watch_spikes(step, report, warnings);
  return warnings;
}

void Alarms::recall(const std::filesystem::path& metrics) {
  std::error_code error;
  if (!std::filesystem::exists(metrics, error)) return;
  int64_t line = 0;
  for (const std::string& text : core::split(core::read_file(metrics), '\n')) {
    const std::string where = str(metrics.string(), ":", ++line);
    if (text.empty()) continue;
    const core::Json row = core::parse_json(text, where);
    StepReport report;
    for (const auto& [name, value] : row.items())
      report.set(name, value.is_number() ? value.get<double>() : std::nan(""));
    if (report.get("step") > 0.0) watch(static_cast<int64_t>(report.get("step")), report);
  }
}

void Alarms::watch_cuts(const StepReport& report, std::vector<std::string>& warnings) {
  if (is_cut_said_ || !report.has("completions/clipped_ratio")) return;
  cut_shares_.push_back(report.get("completions/clipped_ratio"));
  if (static_cast<int64_t>(cut_shares_.size()) > kInARow) cut_shares_.pop_front();
  const double sum = std::accumulate(cut_shares_.begin(), cut_shares_.end(), 0.0);
  if (static_cast<int64_t>(cut_shares_.size()) < kInARow || sum < kMostCut * kInARow) return;
  is_cut_said_ = true;
  warnings.push_back(str("9 of 10 completions of the last ",
                         kInARow,
                         " steps were cut (completions/clipped_ratio) and could not earn their "
                         "reward: raise rollout.max_new_tokens, or see verifier.truncated"));
}

void Alarms::watch_reward(const StepReport& report, std::vector<std::string>& warnings) {
  if (!report.has("reward")) return;
  const double reward = report.get("reward");
  if (reward != last_reward_) constant_.length = 0;  // of another constant
  last_reward_ = reward;
  if (!constant_.is_due(reward < 1.0 && report.get("cgi/injected_frac") == 0.0)) return;
  warnings.push_back(str("the reward was ",
                         reward,
                         " in each of the last ",
                         kInARow,
                         " steps and no ground truth was injected: look at completions/, and check "
                         "the rows against verifier.name and verifier.params with `sgrpo lint`"));
}

void Alarms::watch_length(const StepReport& report, std::vector<std::string>& warnings) {
  if (!report.has("completions/mean_length") || !report.has("reward")) return;
  const double length = report.get("completions/mean_length"), reward = report.get("reward");
  if (num_first_ < kFirstSteps) {
    ++num_first_;
    first_length_ += length;
    first_reward_ += reward;
    return;
  }
  const double usual = first_length_ / kFirstSteps;
  const bool rises = reward > first_reward_ / kFirstSteps;
  if (!short_.is_due(length < kCollapsed * usual && !rises)) return;
  warnings.push_back(str("completions shrank from ",
                         std::lround(usual),
                         " to ",
                         std::lround(length),
                         " tokens (completions/mean_length) while the reward did not rise: lower "
                         "optim.lr, or raise algorithm.kl_coef"));
}

void Alarms::watch_spikes(int64_t step,
                          const StepReport& report,
                          std::vector<std::string>& warnings) {
  for (auto& [name, series] : {std::pair<const char*, Series&>{"loss", loss_},
                               std::pair<const char*, Series&>{"grad_norm", grad_norm_}}) {
    if (!report.has(name)) continue;
    const double value = report.get(name), excess = series.excess(value);
    if (excess <= kSpike) continue;
    warnings.push_back(str("step ",
                           step,
                           ": ",
                           name,
                           " is ",
                           value,
                           ", ",
                           std::lround(excess),
                           " times its median of the last ",
                           kWindow,
                           " steps: lower optim.lr or optim.max_grad_norm if it comes again"));
  }
}

}  // namespace sgrpo::trainer
