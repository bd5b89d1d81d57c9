// Every loss with every estimator, without and with injection: two steps of a small policy give
// finite numbers, the same ones twice. New methods are in it as soon as they are registered.
#include <gtest/gtest.h>

#include "algorithm/fixtures.h"
#include "sgrpo/algorithm/injection.h"
#include "sgrpo/algorithm/rows.h"
#include "sgrpo/algorithm/shaping.h"
#include "sgrpo/core/names.h"

namespace sgrpo::algorithm {
namespace {

constexpr int64_t kTokens = 12;

/// A row with all that a method may read.
std::shared_ptr<const EncodedPrompt> full_prompt() {
  auto prompt = std::make_shared<EncodedPrompt>(*make_prompt(2, {7, 3}));
  auto record = std::make_shared<PromptRecord>(*prompt->record);
  record->columns = {{"baseline", 0.25}};
  prompt->record = record;
  return prompt;
}

/// A member of three tokens with all that a verifier, a sampler and a scoring pass may say.
GroupMember full_member(double reward, int64_t first_token) {
  GroupMember member = make_member(reward, 3, -2.0);
  for (int64_t t = 0; t < 3; ++t)
    member.completion.token_ids[static_cast<size_t>(t)] = (first_token + 2 * t) % kTokens;
  member.completion.sampler_logprobs = {-2.0f, -2.5f, -3.0f};
  member.completion.text = "one two";
  member.completion.token_ends = {3, 4, 7};
  member.verdict.breakdown = {{"right", reward}, {"form", first_token % 2 == 0 ? 1.0 : 0.0}};
  member.verdict.answer = std::to_string(first_token);
  member.verdict.items = {{.span = {0, 3}, .reward = reward}, {.span = {4, 7}, .reward = 0.5}};
  member.scores.ref_logprobs = {-2.5f, -2.5f, -2.5f};
  return member;
}

/// One group that fails as a whole, one mixed.
std::vector<RolloutGroup> full_groups() {
  std::vector<RolloutGroup> groups;
  const auto prompt = full_prompt();
  for (const std::vector<double>& rewards :
       {std::vector<double>{0, 0.25, 0}, std::vector<double>{1, 0, 0.5}}) {
    RolloutGroup group;
    group.prompt = prompt;
    group.prompt_index = static_cast<int64_t>(groups.size());
    for (const double reward : rewards)
      group.members.push_back(full_member(reward, 3 * group.size() + group.prompt_index));
    group.baseline = full_member(0.5, 1);
    group.ground_truth_verdict = full_member(1, 0).verdict;
    group.ground_truth_ends = {4, 13};
    groups.push_back(std::move(group));
  }
  return groups;
}

/// Rows as a micro-batch in f64; a token's log-prob is that of a softmax over all tokens.
LossBatch batch_of(const std::vector<TrainRow>& rows) {
  std::vector<int64_t> labels, sequence, injected, unit;
  std::vector<int32_t> cu = {0};
  std::vector<double> advantages, old, ref, sampler, weight;
  LossBatch batch;
  for (size_t b = 0; b < rows.size(); ++b) {
    for (const Decision& decision : rows[b].decisions) {
      labels.push_back(decision.label);
      sequence.push_back(static_cast<int64_t>(b));
      injected.push_back(rows[b].origin == Origin::kGroundTruth);
      unit.push_back(decision.unit);
      advantages.push_back(decision.advantage);
      old.push_back(decision.old_logprob);
      ref.push_back(std::isnan(decision.ref_logprob) ? -2.0 : decision.ref_logprob);
      sampler.push_back(decision.sampler_logprob);
      weight.push_back(decision.weight);
    }
    cu.push_back(static_cast<int32_t>(labels.size()));
    batch.group.push_back(rows[b].group);
    batch.row.push_back(static_cast<int64_t>(b));
  }
  batch.labels = at::tensor(labels, at::kLong);
  batch.sequence_index = at::tensor(sequence, at::kLong);
  batch.cu_seqlens = at::tensor(cu, at::kInt);
  batch.is_injected = at::tensor(injected, at::kLong).to(at::kBool);
  batch.unit = at::tensor(unit, at::kLong);
  batch.advantages = at::tensor(advantages, at::kDouble);
  batch.old_logprobs = at::tensor(old, at::kDouble);
  batch.ref_logprobs = at::tensor(ref, at::kDouble);
  batch.sampler_logprobs = at::tensor(sampler, at::kDouble);
  batch.weight = at::tensor(weight, at::kFloat);
  return batch;
}

/// Logits after two updates from one rollout: the second one is off-policy.
at::Tensor logits_after(const LossSettings& settings) {
  const auto one_rank = [](std::vector<double> sums) { return sums; };
  auto groups = inject_ground_truth(classify(full_groups()), settings.injection, {.seed = 1});
  groups = compute_advantages(std::move(groups), settings.algorithm, settings.injection, one_rank);
  const auto rows = rows_of(weigh_failures(std::move(groups), settings.injection));
  LossBatch batch = batch_of(rows);
  StepContext context;
  context.steps = 4;
  context.denominators = {
      .decisions = batch.num_decisions(), .sequences = batch.num_sequences(), .groups = 2};
  at::Tensor logits = at::arange(kTokens, at::kDouble) / 10;
  batch.old_logprobs = logits.log_softmax(0).index_select(0, batch.labels);
  for (int update = 0; update < 2; ++update) {
    at::Tensor leaf = logits.detach().clone().requires_grad_();
    const at::Tensor logprobs = leaf.log_softmax(0);
    const at::Tensor entropy = -(logprobs.exp() * logprobs).sum().expand(batch.num_decisions());
    const Scores scores{.logprobs = logprobs.index_select(0, batch.labels), .entropy = entropy};
    add_statistics(batch_statistics(scores, batch, settings, context), settings, at::kCPU, context);
    const LossResult result = batch_loss(scores, batch, settings, context);
    EXPECT_TRUE(result.loss.isfinite().item<bool>());
    result.loss.backward();
    logits = leaf.detach() - leaf.grad();
  }
  return logits;
}

/// Whether the configuration takes the pair; a refusal must give a reason.
bool is_taken(const LossSettings& settings) {
  try {
    validate(settings.algorithm, settings.injection, 3);
    return true;
  } catch (const core::UserError& error) {
    EXPECT_NE(std::string(error.what()), "");
    return false;
  }
}

TEST(Pairs, every_loss_takes_every_estimator_with_and_without_injection) {
  int64_t taken = 0, refused = 0;
  for (const std::string& loss : LossRegistry::names()) {
    if (LossRegistry::get("loss", loss)({})->is_part_only()) continue;
    for (const std::string& estimator : EstimatorRegistry::names()) {
      for (const char* when : {"never", "all_fail"}) {
        LossSettings settings;
        settings.algorithm.loss = loss;
        settings.algorithm.estimator = estimator;
        settings.injection.when = core::from_name<InjectWhen>(when).value();
        const bool has_terms = settings.injection.when != InjectWhen::kNever;
        settings.algorithm.kl_coef = settings.algorithm.entropy_coef = has_terms ? 0.01 : 0.0;
        SCOPED_TRACE(core::str(loss, " ", estimator, " ", when));
        if (!is_taken(settings)) {
          ++refused;
          continue;
        }
        ++taken;
        const at::Tensor logits = logits_after(settings);
        EXPECT_TRUE(logits.isfinite().all().item<bool>());
        EXPECT_FALSE(logits.equal(at::arange(kTokens, at::kDouble) / 10)) << "nothing was learned";
        EXPECT_TRUE(logits.equal(logits_after(settings))) << "two runs differ";
      }
    }
  }
  EXPECT_GT(taken, refused);
}

}  // namespace
}  // namespace sgrpo::algorithm
