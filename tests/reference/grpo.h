// Slow twin of src/algorithm: the GRPO family as plain loops over doubles, written to be read.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sgrpo::reference {

/// (r - mean) / (s + eps); std "sample", "population" or "none".
inline std::vector<double> group_advantages(const std::vector<double>& rewards,
                                            const std::string& std,
                                            double eps) {
  const auto n = static_cast<double>(rewards.size());
  double mean = 0.0;
  for (const double r : rewards) mean += r / n;
  double squares = 0.0;
  for (const double r : rewards) squares += (r - mean) * (r - mean);
  const double deviation = std::sqrt(squares / (std == "sample" ? n - 1 : n));
  const bool is_flat =
      std::all_of(rewards.begin(), rewards.end(), [&](double r) { return r == rewards.front(); });
  std::vector<double> advantages;
  for (const double r : rewards) {
    const double divisor = std == "none" ? 1.0 : deviation + eps;
    advantages.push_back(is_flat ? 0.0 : (r - mean) / divisor);
  }
  return advantages;
}

/// One group as judged. status: 0 correct, 1 failed, 2 not judged.
struct JudgedGroup {
  std::vector<double> rewards, scores;
  std::vector<int> status;
  bool may_inject = false;
  double gt_reward = 1.0;
};

struct InjectionRule {
  bool only_all_fail = true, appends = false, smoothing = false;
  double fail_weight = 1.0;
};

struct InjectedGroup {
  int kind = 3;    // 0 all_fail, 1 all_pass, 2 mixed, 3 nobody judged
  int place = -1;  // of the ground truth
  std::vector<double> advantages;
};

/// Where the ground truth goes: in place of the least by (judged, score), or at the end.
inline size_t place_of_truth(const JudgedGroup& group, const InjectionRule& rule) {
  if (rule.appends) return group.rewards.size();
  std::vector<std::pair<bool, double>> order;
  for (size_t i = 0; i < group.status.size(); ++i)
    order.emplace_back(group.status[i] != 2, group.scores[i]);
  return static_cast<size_t>(std::min_element(order.begin(), order.end()) - order.begin());
}

/// Injection, smoothing, advantages and fail_weight of one group.
inline InjectedGroup injected_advantages(JudgedGroup group,
                                         const InjectionRule& rule,
                                         const std::string& std,
                                         double eps) {
  InjectedGroup result;
  const auto correct = std::count(group.status.begin(), group.status.end(), 0);
  const auto judged = correct + std::count(group.status.begin(), group.status.end(), 1);
  if (judged > 0) result.kind = correct == 0 ? 0 : correct == judged ? 1 : 2;
  const bool triggers = rule.only_all_fail ? result.kind == 0 : result.kind != 3;
  if (group.may_inject && triggers) {
    const size_t place = place_of_truth(group, rule);
    result.place = static_cast<int>(place);
    group.rewards.resize(std::max(group.rewards.size(), place + 1));
    group.status.resize(group.rewards.size());
    group.rewards[place] = group.gt_reward;
    group.status[place] = 2;
    std::vector<double> others;
    for (size_t i = 0; i < group.rewards.size(); ++i) {
      if (group.status[i] != 2) others.push_back(group.rewards[i]);
    }
    if (rule.smoothing && !others.empty() &&
        *std::max_element(others.begin(), others.end()) >= group.gt_reward) {
      group.rewards[place] =
          std::accumulate(others.begin(), others.end(), 0.0) / static_cast<double>(others.size());
    }
    group.status[place] = 0;
  }
  std::vector<double> counted;
  for (size_t i = 0; i < group.rewards.size(); ++i) {
    if (group.status[i] != 2) counted.push_back(group.rewards[i]);
  }
  const auto advantages = group_advantages(counted, std, eps);
  size_t next = 0;
  for (const int status : group.status) {
    double advantage = status == 2 ? 0.0 : advantages[next++];
    if (result.place >= 0 && advantage < 0) advantage *= rule.fail_weight;
    result.advantages.push_back(advantage);
  }
  return result;
}

/// r_i - mean of the others.
inline std::vector<double> leave_one_out(const std::vector<double>& rewards) {
  std::vector<double> advantages;
  for (size_t i = 0; i < rewards.size(); ++i) {
    double others = 0.0;
    for (size_t j = 0; j < rewards.size(); ++j) others += j == i ? 0.0 : rewards[j];
    advantages.push_back(rewards[i] - others / static_cast<double>(rewards.size() - 1));
  }
  return advantages;
}

struct Sequence {
  std::vector<double> policy, old, ref, entropy;
  double advantage = 0.0;
  bool is_injected = false;
};

struct LossSettings {
  double clip_low = 0.2, clip_high = 0.2;
  std::optional<double> clip_dual = std::nullopt;
  std::string kl = "none";
  double kl_coef = 0.0, entropy_coef = 0.0;
  std::string aggregation = "token_mean";
  double constant = 1.0;
  std::string gt_old_logprob = "current_detached", gt_shape = "none";
  bool gt_clip = true, gt_kl = true;
  double shape_g = 0.1, shape_alpha = 0.1;
};

struct Value {
  double value = 0.0, slope = 0.0;  // slope: derivative with respect to the policy's log-prob
};

/// c(p), the coefficient on the gradient of an expert token's log-prob, and its integral F over
/// log p.
inline Value shape_of(double p, const LossSettings& s) {
  if (s.gt_shape == "p_over_p_plus_g") {
    return {p / (p + s.shape_g), s.shape_g * p / ((p + s.shape_g) * (p + s.shape_g))};
  }
  if (s.gt_shape == "trsft") {
    const double x = p / s.shape_alpha;
    return {x < 1 ? x : 1 + std::log(x), std::min(1.0, x)};
  }
  return {p - p * p / 2, p * (1 - p)};
}

struct TokenResult {
  Value loss;
  bool is_low = false, is_high = false;
  double kl = 0.0;
};

inline Value clipped_objective(double ratio, double advantage, bool clips, const LossSettings& s) {
  const double plain = ratio * advantage;
  if (!clips) return {plain, plain};
  const double clipped = std::clamp(ratio, 1 - s.clip_low, 1 + s.clip_high) * advantage;
  Value objective = plain <= clipped ? Value{plain, plain} : Value{clipped, 0.0};
  if (s.clip_dual && advantage < 0 && objective.value < *s.clip_dual * advantage) {
    objective = {*s.clip_dual * advantage, 0.0};
  }
  return objective;
}

inline Value kl_value(const std::string& estimator, double policy, double ref) {
  const double d = ref - policy;
  if (estimator == "k1") return {-d, 1.0};
  if (estimator == "k2") return {d * d / 2, -d};
  if (estimator == "k3") return {std::exp(d) - d - 1, 1 - std::exp(d)};
  return {};
}

inline TokenResult token_loss(const Sequence& sequence, size_t t, const LossSettings& s) {
  const double policy = sequence.policy[t];
  double old = sequence.old[t];
  if (sequence.is_injected && s.gt_old_logprob == "current_detached") old = policy;
  if (sequence.is_injected && s.gt_old_logprob == "one") old = 0.0;
  const double ratio = std::exp(policy - old);
  const bool clips = !sequence.is_injected || s.gt_clip;
  const bool is_shaped = sequence.is_injected && s.gt_shape != "none";
  TokenResult result;
  Value objective = clipped_objective(ratio, sequence.advantage, clips, s);
  if (is_shaped) {
    const Value shape = shape_of(std::exp(policy), s);
    objective = {sequence.advantage * shape.value, sequence.advantage * shape.slope};
  }
  const bool counts_clip = clips && !is_shaped;
  result.is_low = counts_clip && ratio < 1 - s.clip_low && sequence.advantage < 0;
  result.is_high = counts_clip && ratio > 1 + s.clip_high && sequence.advantage > 0;
  const Value kl = kl_value(s.kl, policy, sequence.ref.empty() ? policy : sequence.ref[t]);
  const double kl_coef = sequence.is_injected && !s.gt_kl ? 0.0 : s.kl_coef;
  result.kl = kl.value;
  result.loss = {-objective.value + kl_coef * kl.value - s.entropy_coef * sequence.entropy[t],
                 -objective.slope + kl_coef * kl.slope};
  return result;
}

struct LossResult {
  double loss = 0.0;
  std::vector<double> gradient;            // of all tokens, in sequence order
  double clip_low = 0.0, clip_high = 0.0;  // numbers of tokens
  double sampled_kl = 0.0;                 // sum over sampled tokens
};

inline LossResult policy_loss(const std::vector<Sequence>& sequences, const LossSettings& s) {
  double tokens = 0.0;
  const auto count = static_cast<double>(sequences.size());
  for (const Sequence& sequence : sequences) tokens += static_cast<double>(sequence.policy.size());
  LossResult result;
  for (const Sequence& sequence : sequences) {
    const auto length = static_cast<double>(sequence.policy.size());
    double weight = 1 / tokens;
    if (s.aggregation == "seq_mean_token_mean") weight = 1 / (count * length);
    if (s.aggregation == "seq_mean_token_sum") weight = 1 / count;
    if (s.aggregation == "seq_mean_token_sum_const") weight = 1 / (count * s.constant);
    for (size_t t = 0; t < sequence.policy.size(); ++t) {
      const TokenResult token = token_loss(sequence, t, s);
      result.loss += weight * token.loss.value;
      result.gradient.push_back(weight * token.loss.slope);
      result.clip_low += token.is_low;
      result.clip_high += token.is_high;
      result.sampled_kl += sequence.is_injected ? 0.0 : token.kl;
    }
  }
  return result;
}

}  // namespace sgrpo::reference
