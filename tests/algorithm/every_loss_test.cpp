// What holds for every registered loss: its gradient, micro-batches that add up, masked tokens.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/core/rng.h"

namespace sgrpo::algorithm {
namespace {

/// Two groups of 3 and 2 members, 1 to 6 tokens each; the first member is injected.
LossCase two_groups(uint64_t seed) {
  std::vector<reference::Sequence> sequences(5);
  for (size_t b = 0; b < sequences.size(); ++b) {
    const core::RandomKey key{.seed = seed, .sample_index = b, .purpose = core::Purpose::kLoss};
    uint64_t draw = 0;
    const uint64_t length = 1 + key.below(6, 1000);
    reference::Sequence& sequence = sequences[b];
    for (uint64_t t = 0; t < length; ++t) {
      sequence.policy.push_back(-std::abs(key.normal(draw++)) - 0.05);
      sequence.old.push_back(sequence.policy.back() + 0.2 * key.normal(draw++));
      sequence.ref.push_back(sequence.policy.back() + 0.4 * key.normal(draw++));
      sequence.entropy.push_back(std::abs(key.normal(draw++)));
    }
    sequence.advantage = (b % 2 == 0 ? 1 : -1) * (0.2 + std::abs(key.normal(draw++)));
    sequence.is_injected = b == 0;
  }
  LossCase result = make_loss_case(sequences);
  result.batch.group = {0, 0, 0, 1, 1};
  result.batch.sampler_logprobs = result.batch.old_logprobs + 0.1;
  result.context.denominators.groups = 2;
  return result;
}

/// Parameters under which a loss's detached weights do not move with the policy's log-probs.
core::Json steady_params(const std::string& loss) {
  if (loss == "opmd") return {{"tau", 0.5}, {"b", 0.7}};
  if (loss == "fipo") return {{"range", 0.0}};
  if (loss == "clip_cov") return {{"share", 0.3}, {"cov_low", 0.0}};
  if (loss == "kl_cov") return {{"share", 0.3}};
  return core::Json::object();
}

LossSettings steady_settings(const std::string& loss) {
  LossSettings settings = settings_for(loss, steady_params(loss));
  settings.injection.gt_old_logprob = GtOldLogprob::kPiOldScore;
  settings.algorithm.kl_coef = 0.2;
  settings.algorithm.kl_importance = true;
  return settings;
}

LossResult loss_at(const LossCase& loss_case,
                   const at::Tensor& policy,
                   const LossSettings& settings,
                   const StepContext& context) {
  return batch_loss(
      {.logprobs = policy, .entropy = loss_case.entropy}, loss_case.batch, settings, context);
}

/// Largest difference between gradient and central differences over the largest slope. Step 1e-5:
/// the error of either kind is below 1e-9.
double relative_error(const LossCase& loss_case, const LossSettings& settings) {
  const StepContext context = context_of(loss_case, settings);
  const at::Tensor gradient =
      gradient_of(loss_at(loss_case, loss_case.policy, settings, context), loss_case);
  double worst = 0.0;
  for (int64_t m = 0; m < gradient.numel(); ++m) {
    double values[2];
    for (const int side : {0, 1}) {
      const at::Tensor moved = loss_case.policy.detach().clone();
      moved[m] += side == 0 ? -1e-5 : 1e-5;
      values[side] = loss_at(loss_case, moved, settings, context).loss.item<double>();
    }
    worst = std::max(worst, std::abs((values[1] - values[0]) / 2e-5 - gradient[m].item<double>()));
  }
  return worst / gradient.abs().max().item<double>();
}

TEST(EveryLoss, gradient_equals_central_differences) {
  for (const std::string& loss : LossRegistry::names()) {
    // These hold a weight of the log-probs themselves fixed: see the next test.
    if (loss == "cispo" || loss == "vespo" || loss == "gspo_token") continue;
    for (uint64_t seed = 0; seed < 8; ++seed) {
      EXPECT_LE(relative_error(two_groups(seed), steady_settings(loss)), 1e-6)
          << loss << ", seed " << seed;
    }
  }
}

// weight x log p with the weight held: the slopes times log p add up to the loss; sg[s] exp(l -
// sg[l]): the slopes themselves do.
TEST(EveryLoss, gradient_of_held_weights_is_the_loss_over_what_it_multiplies) {
  for (const std::string loss : {"cispo", "vespo", "gspo_token"}) {
    for (uint64_t seed = 0; seed < 8; ++seed) {
      const LossCase loss_case = two_groups(seed);
      LossSettings settings = settings_for(loss);
      settings.algorithm.clip_low = 1.0;
      settings.algorithm.clip_high = 1e6;
      const LossResult result = loss_of(loss_case, settings);
      const at::Tensor slopes = gradient_of(result, loss_case);
      const double sum = loss == "gspo_token"
                             ? slopes.sum().item<double>()
                             : (slopes * loss_case.policy.detach()).sum().item<double>();
      EXPECT_NEAR(sum, result.loss.item<double>(), 1e-12) << loss << ", seed " << seed;
      EXPECT_GT(std::abs(sum), 1e-6);
    }
  }
}

/// Sequences [begin, end) of a case, with their places in the whole.
LossCase part_of(const LossCase& whole, int64_t begin, int64_t end) {
  const auto bounds = whole.batch.cu_seqlens.accessor<int32_t, 1>();
  const int64_t from = bounds[begin], count = bounds[end] - from;
  const auto cut = [&](const at::Tensor& values) { return values.narrow(0, from, count); };
  LossCase part = whole;
  part.policy = cut(whole.policy.detach()).clone().requires_grad_();
  part.entropy = cut(whole.entropy);
  LossBatch& batch = part.batch;
  for (at::Tensor LossBatch::*member : {&LossBatch::labels,
                                        &LossBatch::weight,
                                        &LossBatch::advantages,
                                        &LossBatch::is_injected,
                                        &LossBatch::old_logprobs,
                                        &LossBatch::ref_logprobs,
                                        &LossBatch::sampler_logprobs}) {
    batch.*member = cut(whole.batch.*member);
  }
  batch.sequence_index = cut(whole.batch.sequence_index) - begin;
  batch.cu_seqlens = whole.batch.cu_seqlens.narrow(0, begin, end - begin + 1) - bounds[begin];
  batch.group = {whole.batch.group.begin() + begin, whole.batch.group.begin() + end};
  batch.row = {whole.batch.row.begin() + begin, whole.batch.row.begin() + end};
  return part;
}

std::vector<at::Tensor> under_one_another(const std::vector<std::vector<at::Tensor>>& parts) {
  std::vector<at::Tensor> tables;
  for (size_t i = 0; i < parts[0].size(); ++i)
    tables.push_back(at::cat({parts[0][i], parts[1][i]}));
  return tables;
}

TEST(EveryLoss, micro_batches_of_whole_groups_add_up) {
  for (const std::string& loss : LossRegistry::names()) {
    const LossCase whole = two_groups(3);
    LossSettings settings = steady_settings(loss);
    if (!LossRegistry::get("loss", loss)(settings)->needs_whole_groups())
      settings.algorithm.top_entropy_quantile = 0.6;
    const LossResult expected = loss_of(whole, settings);
    const at::Tensor expected_gradient = gradient_of(expected, whole);
    const std::vector<LossCase> parts = {part_of(whole, 0, 3), part_of(whole, 3, 5)};
    std::vector<std::vector<at::Tensor>> rows;
    for (const LossCase& part : parts)
      rows.push_back(batch_statistics(
          {.logprobs = part.policy, .entropy = part.entropy}, part.batch, settings, whole.context));
    StepContext context = whole.context;
    add_statistics(under_one_another(rows), settings, at::kCPU, context);
    double sum = 0.0;
    std::vector<at::Tensor> gradients;
    for (const LossCase& part : parts) {
      const LossResult result = loss_at(part, part.policy, settings, context);
      sum += result.loss.item<double>();
      gradients.push_back(gradient_of(result, part));
    }
    EXPECT_NEAR(sum, expected.loss.item<double>(), 1e-13) << loss;
    EXPECT_LT((at::cat(gradients) - expected_gradient).abs().max().item<double>(), 1e-13) << loss;
  }
}

TEST(EveryLoss, masked_tokens_may_hold_anything) {
  for (const std::string& loss : LossRegistry::names()) {
    LossCase loss_case = two_groups(5);
    loss_case.batch.weight[2] = 0;
    const LossSettings settings = steady_settings(loss);
    const LossResult clean = loss_of(loss_case, settings);
    LossCase poisoned = loss_case;
    poisoned.policy = loss_case.policy.detach().clone();
    poisoned.policy[2] = std::nan("");
    poisoned.policy.requires_grad_();
    poisoned.batch.old_logprobs = loss_case.batch.old_logprobs.clone();
    poisoned.batch.old_logprobs[2] = 70.0;
    const LossResult result = loss_of(poisoned, settings);
    EXPECT_EQ(result.loss.item<double>(), clean.loss.item<double>()) << loss;
    EXPECT_TRUE(gradient_of(result, poisoned).equal(gradient_of(clean, loss_case))) << loss;
  }
}

TEST(EveryLoss, f32_stays_f32_and_finite_on_policy) {
  for (const std::string& loss : LossRegistry::names()) {
    LossCase loss_case = two_groups(6);
    const double exact = loss_of(loss_case, steady_settings(loss)).loss.item<double>();
    loss_case.policy = loss_case.policy.detach().to(at::kFloat).requires_grad_();
    loss_case.entropy = loss_case.entropy.to(at::kFloat);
    const LossResult result = loss_of(loss_case, steady_settings(loss));
    EXPECT_EQ(result.loss.scalar_type(), at::kFloat) << loss;
    EXPECT_NEAR(result.loss.item<double>(), exact, 1e-5 * std::max(1.0, std::abs(exact))) << loss;
    loss_case.batch.old_logprobs = at::Tensor();
    const LossResult on_policy = loss_of(loss_case, steady_settings(loss));
    EXPECT_TRUE(gradient_of(on_policy, loss_case).isfinite().all().item<bool>()) << loss;
  }
}

TEST(EveryLoss, unknown_parameters_are_named) {
  for (const std::string& loss : LossRegistry::names()) {
    const std::string message = message_of([&] {
      loss_of(two_groups(1), settings_for(loss, {{"nothing", 1}}));
    });
    EXPECT_NE(message.find("algorithm.params.loss.nothing is unknown"), std::string::npos)
        << loss << ": " << message;
  }
}

}  // namespace
}  // namespace sgrpo::algorithm
