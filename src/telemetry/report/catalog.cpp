#include "telemetry/report/catalog.h"

#include <array>
#include <map>
#include <string_view>

#include "sgrpo/core/text.h"

namespace sgrpo::telemetry::report {
namespace {

struct Rule {
  std::string_view prefix;
  Section section;
};

// The first match decides; a prefix that ends in '/' takes a whole family.
constexpr std::array kRules = {Rule{"reward", Section::kReward},
                               Rule{"group/", Section::kHidden},
                               Rule{"frac_reward_zero_std", Section::kGroups},
                               Rule{"cgi/", Section::kGroups},
                               Rule{"rollout/", Section::kGroups},
                               Rule{"retention/reward", Section::kReward},
                               Rule{"retention/loss", Section::kOptimisation},
                               Rule{"retention/", Section::kData},
                               Rule{"val/", Section::kValidation},
                               Rule{"loss", Section::kOptimisation},
                               Rule{"grad_norm", Section::kOptimisation},
                               Rule{"learning_rate", Section::kOptimisation},
                               Rule{"kl", Section::kOptimisation},
                               Rule{"entropy", Section::kOptimisation},
                               Rule{"clip_ratio/", Section::kOptimisation},
                               Rule{"optim/", Section::kOptimisation},
                               Rule{"completions/", Section::kLengths},
                               Rule{"num_tokens", Section::kLengths},
                               Rule{"sampling/", Section::kSampler},
                               Rule{"timing_s/", Section::kHidden},
                               Rule{"epoch", Section::kHidden},
                               Rule{"step_time", Section::kTime},
                               Rule{"perf/", Section::kTime},
                               Rule{"mem/", Section::kTime},
                               Rule{"data/", Section::kData},
                               Rule{"verifier/", Section::kData}};

const std::map<std::string, std::string>& meanings() {
  static const std::map<std::string, std::string> map = {
      {"reward", "mean over sampled completions"},
      {"reward_std", "within a group, mean over groups"},
      {"reward_with_injected", "after ground truths took victims' places"},
      {"frac_reward_zero_std", "groups without spread, before injection"},
      {"cgi/injected_frac", "groups that got the ground truth"},
      {"cgi/missing_gt_frac", "all-fail groups without a ground truth"},
      {"cgi/injected_advantage", "mean advantage of ground truths"},
      {"cgi/injected_logp", "how likely the policy finds them"},
      {"cgi/injected_ratio_clipped_frac", "ground truths silenced by the clip"},
      {"cgi/injected_entropy", "policy entropy on ground truths"},
      {"cgi/frac_dead_after", "groups without signal after injection"},
      {"rollout/rounds", "of sampling in the step"},
      {"rollout/drawn", "prompts sampled"},
      {"rollout/dropped", "groups without spread that left the step"},
      {"retention/reward", "completions that equal the answer to retain"},
      {"retention/loss", "of the part beside the arm"},
      {"retention/rows", "in the step"},
      {"retention/tokens", "prompt and completion tokens"},
      {"loss", "per optimizer step"},
      {"grad_norm", "before clipping"},
      {"kl", "to the reference policy, sampled members"},
      {"entropy", "of the policy, nats a token"},
      {"clip_ratio/low_mean", "tokens clipped from below"},
      {"clip_ratio/high_mean", "tokens clipped from above"},
      {"clip_ratio/region_mean", "tokens clipped at all"},
      {"optim/skipped_steps", "not finite, left out"},
      {"optim/no_signal_steps", "no group had a spread"},
      {"completions/mean_length", "tokens"},
      {"completions/min_length", "tokens"},
      {"completions/max_length", "tokens"},
      {"completions/clipped_ratio", "stopped by the length limit"},
      {"completions/mean_terminated_length", "tokens, of those that ended"},
      {"num_tokens", "processed so far"},
      {"sampling/sampling_logp_difference/mean", "sampler minus trainer, absolute"},
      {"sampling/sampling_logp_difference/max", "sampler minus trainer, absolute"},
      {"step_time", "seconds"},
      {"perf/tokens_per_s", "prompt and completion tokens"},
      {"perf/image_ms", "CPU, to read, decode, resize and patch one image"},
      {"mem/host_rss_gb", "resident, GiB"},
      {"mem/gpu_alloc_gb", "GiB"},
      {"mem/gpu_peak_gb", "GiB"},
      {"data/rejected_rows", "replaced by the rule for bad rows"},
      {"data/images", "of the step's prompts"}};
  return map;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

Section section_of(const std::string& metric) {
  if (is_row_count(metric)) return ends_with(metric, "/n") ? Section::kHidden : Section::kData;
  for (const Rule& rule : kRules) {
    const bool family = rule.prefix.back() == '/' || rule.prefix == "reward";
    if (family ? core::starts_with(metric, rule.prefix) : metric == rule.prefix) {
      return rule.section;
    }
  }
  return Section::kOther;
}

std::string meaning_of(const std::string& metric) {
  if (const auto found = meanings().find(metric); found != meanings().end()) return found->second;
  if (is_validation(metric) && ends_with(metric, "/macro")) return "mean over tasks";
  return "";
}

bool is_score(const std::string& metric) {
  return metric == "reward" || core::starts_with(metric, "rewards/") ||
         (is_validation(metric) && !is_row_count(metric));
}

bool is_validation(const std::string& metric) { return core::starts_with(metric, "val/"); }

bool is_row_count(const std::string& metric) {
  if (!is_validation(metric)) return false;
  for (const std::string_view end : {"/n", "/error", "/timeout", "/truncated"}) {
    if (ends_with(metric, end)) return true;
  }
  return false;
}

const std::vector<std::string>& summary_metrics() {
  static const std::vector<std::string> names = {"reward",
                                                 "reward_std",
                                                 "group/frac_all_fail",
                                                 "group/frac_mixed",
                                                 "group/frac_all_pass",
                                                 "cgi/injected_frac",
                                                 "entropy",
                                                 "kl",
                                                 "grad_norm",
                                                 "completions/mean_length",
                                                 "sampling/sampling_logp_difference/max",
                                                 "step_time",
                                                 "perf/tokens_per_s",
                                                 "mem/host_rss_gb",
                                                 "mem/gpu_peak_gb"};
  return names;
}

}  // namespace sgrpo::telemetry::report
