// Sections `injection` and `algorithm` of the configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sgrpo/config/fields.h"
#include "sgrpo/core/json.h"

namespace sgrpo::algorithm {

struct InjectionOptions {
  std::string when = "all_fail";
  std::string mode = "replace";
  std::string victim = "lowest_logprob";
  double gt_reward = 1.0;
  std::string gt_old_logprob = "current_detached";
  bool gt_clip = true;
  bool gt_kl = true;
  std::string gt_shape = "none";
  double shape_g = 0.1;
  double shape_alpha = 0.1;
  bool smoothing = false;
  double fail_weight = 1.0;
  int64_t warmup_steps = 0;
  double max_fraction = 1.0;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("when",
          when,
          FieldInfo{.help = "never = GRPO; all_fail = CGI; always = every group",
                    .choices = {"never", "all_fail", "always"}});
    visit("mode",
          mode,
          FieldInfo{.help = "replace a member, or append one", .choices = {"replace", "append"}});
    visit("victim",
          victim,
          FieldInfo{.help = "whom replace removes; lowest_logprob sums the sampler's log-probs",
                    .choices = {"lowest_logprob", "random", "first", "last"}});
    visit("gt_reward", gt_reward, FieldInfo{.help = "reward of the injected ground truth"});
    visit("gt_old_logprob",
          gt_old_logprob,
          FieldInfo{.help = "old log-prob of injected tokens: ratio 1 / scored once / pi_old := 1",
                    .choices = {"current_detached", "pi_old_score", "one"}});
    visit("gt_clip", gt_clip, FieldInfo{.help = "whether the injected member's ratio is clipped"});
    visit("gt_kl", gt_kl, FieldInfo{.help = "whether the KL term covers injected tokens"});
    visit("gt_shape",
          gt_shape,
          FieldInfo{.help = "coefficient on the gradient of injected tokens",
                    .choices = {"none", "p_over_p_plus_g", "trsft", "phi"}});
    visit("shape_g", shape_g, FieldInfo{.help = "g of p_over_p_plus_g", .low = 1e-9, .high = 1e9});
    visit("shape_alpha", shape_alpha, FieldInfo{.help = "alpha of trsft", .low = 1e-9, .high = 1});
    visit("smoothing",
          smoothing,
          FieldInfo{.help = "ViSurf: a group with a success gives the ground truth its mean"});
    visit("fail_weight",
          fail_weight,
          FieldInfo{
              .help = "multiplies negative advantages in injected groups", .low = 0, .high = 1e6});
    visit("warmup_steps",
          warmup_steps,
          FieldInfo{
              .help = "no injection in the first steps", .unit = "steps", .low = 0, .high = 1e12});
    visit(
        "max_fraction",
        max_fraction,
        FieldInfo{
            .help = "largest share of a step's groups that may be injected", .low = 0, .high = 1});
  }
};

struct AlgorithmOptions {
  std::string estimator = "grpo";
  std::string std = "sample";
  double std_eps = 1.0e-4;
  std::string loss = "clipped";
  std::string aggregation = "token_mean";
  std::optional<double> aggregation_constant;
  double clip_low = 0.2;
  double clip_high = 0.2;
  std::optional<double> clip_dual;
  double kl_coef = 0.0;
  std::string kl_estimator = "k3";
  std::string kl_place = "loss";
  std::string kl_ref = "start";
  int64_t epochs_per_rollout = 1;
  int64_t minibatches_per_rollout = 1;
  double entropy_coef = 0.0;
  core::Json params = core::Json::object();

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("estimator", estimator, FieldInfo{.help = "rewards to advantages"});
    visit("std",
          std,
          FieldInfo{.help = "divisor of the group's deviation: G-1, G, or no division",
                    .choices = {"sample", "population", "none"}});
    visit("std_eps", std_eps, FieldInfo{.help = "added to the deviation", .low = 0, .high = 1});
    visit("loss", loss, FieldInfo{.help = "token loss"});
    visit("aggregation",
          aggregation,
          FieldInfo{.help = "how token losses become one number",
                    .choices = {"token_mean",
                                "seq_mean_token_mean",
                                "seq_mean_token_sum",
                                "seq_mean_token_sum_const"}});
    visit("aggregation_constant",
          aggregation_constant,
          FieldInfo{.help = "constant of seq_mean_token_sum_const; null = rollout.max_new_tokens",
                    .unit = "tokens",
                    .low = 1e-9,
                    .high = 1e9});
    visit("clip_low",
          clip_low,
          FieldInfo{.help = "ratio is clipped below 1 - clip_low", .low = 0, .high = 1});
    visit("clip_high",
          clip_high,
          FieldInfo{.help = "ratio is clipped above 1 + clip_high", .low = 0, .high = 1e6});
    visit("clip_dual",
          clip_dual,
          FieldInfo{.help = "bound c of the dual clip for negative advantages; null = off",
                    .low = 1,
                    .high = 1e6});
    visit("kl_coef",
          kl_coef,
          FieldInfo{.help = "weight of the KL to the reference; 0 = no reference is kept",
                    .low = 0,
                    .high = 1e6});
    visit("kl_estimator",
          kl_estimator,
          FieldInfo{.help = "per-token estimator", .choices = {"k1", "k2", "k3"}});
    visit("kl_place",
          kl_place,
          FieldInfo{.help = "in the loss, or subtracted from the reward",
                    .choices = {"loss", "reward"}});
    visit(
        "kl_ref", kl_ref, FieldInfo{.help = "start = the model at step 0, or a checkpoint folder"});
    visit("epochs_per_rollout",
          epochs_per_rollout,
          FieldInfo{.help = "passes over one rollout", .low = 1, .high = 1000});
    visit("minibatches_per_rollout",
          minibatches_per_rollout,
          FieldInfo{.help = "optimizer steps per pass over one rollout", .low = 1, .high = 1e6});
    visit("entropy_coef",
          entropy_coef,
          FieldInfo{.help = "weight of the entropy bonus", .low = 0, .high = 1e3});
    visit("params", params, FieldInfo{.help = "parameters of the estimator or loss"});
  }
};

}  // namespace sgrpo::algorithm
