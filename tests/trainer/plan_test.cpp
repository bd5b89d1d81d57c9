// The memory plan against the sizes of what a run really opens.
#include "sgrpo/trainer/plan.h"

#include <gtest/gtest.h>

#include <map>

#include "sgrpo/trainer/load_config.h"
#include "testing/scratch.h"
#include "testing/tiny_policy.h"

namespace sgrpo::trainer {
namespace {

class Plan : public ::testing::Test {
 protected:
  Plan() { testing::write_tiny_checkpoint(scratch_ / "model"); }

  MemoryPlan plan(std::vector<std::string> overrides = {}) const {
    overrides.insert(overrides.begin(), "model.path=" + (scratch_ / "model").string());
    overrides.insert(overrides.begin(), "data.max_prompt_tokens=100");
    return plan_memory(load_run_config({}, overrides));
  }
  /// Bytes of a part; 0 if there is none.
  static uint64_t bytes(const MemoryPlan& plan, const std::string& name) {
    for (const MemoryPart& part : plan.parts) {
      if (part.name == name) return part.bytes;
    }
    return 0;
  }
  testing::Scratch scratch_;
};

TEST_F(Plan, weights_by_module_are_those_of_the_loaded_model) {
  std::map<std::string, uint64_t> expected;
  int64_t count = 0;
  for (const auto& parameter : testing::TinyPolicy::instance().model().parameters()) {
    expected["weights: " + core::name_of(parameter.module)] += parameter.tensor.nbytes();
    count += parameter.tensor.numel();
  }
  const MemoryPlan result = plan();
  EXPECT_EQ(result.num_parameters, count);
  EXPECT_EQ(expected.size(), 3u);
  for (const auto& [name, size] : expected) EXPECT_EQ(bytes(result, name), size) << name;
}

TEST_F(Plan, frozen_modules_have_no_gradients_and_no_moments) {
  const MemoryPlan all = plan(), part = plan({"model.freeze=[vision, merger]"});
  EXPECT_EQ(bytes(all, "gradients"), 4 * static_cast<uint64_t>(all.num_parameters));
  EXPECT_EQ(bytes(part, "gradients"), bytes(all, "weights: language"));
  EXPECT_EQ(bytes(part, "AdamW moments"), 2 * bytes(all, "weights: language"));
  EXPECT_LT(bytes(part, "activations: vision"), bytes(all, "activations: vision"));
}

TEST_F(Plan, adapter_alone_has_gradients_and_moments_and_the_reference_shares_the_weights) {
  const MemoryPlan all = plan(),
                   lora =
                       plan({"model.lora={rank: 2, targets: [q_proj]}", "algorithm.kl_coef=0.1"});
  // Two layers of the decoder; A is [2, in], B [out, 2].
  const model::ModelSpec& spec = testing::TinyPolicy::instance().model().spec();
  const auto values = static_cast<uint64_t>(spec.num_layers * 2 *
                                            (spec.hidden_size + spec.num_heads * spec.head_dim));
  EXPECT_EQ(lora.num_trainable, static_cast<int64_t>(values));
  EXPECT_EQ(bytes(lora, "weights: language"), bytes(all, "weights: language"));
  EXPECT_EQ(bytes(lora, "weights: adapter"), 4 * values);
  EXPECT_EQ(bytes(lora, "gradients"), 4 * values);
  EXPECT_EQ(bytes(lora, "AdamW moments"), 8 * values);
  EXPECT_EQ(bytes(lora, "reference adapter"), 4 * values);
  EXPECT_EQ(bytes(lora, "reference model"), 0u);
}

TEST_F(Plan, reference_exists_only_with_a_kl_term) {
  EXPECT_EQ(bytes(plan(), "reference model"), 0u);
  const MemoryPlan result = plan({"algorithm.kl_coef=0.1"});
  EXPECT_EQ(bytes(result, "reference model"), 4 * static_cast<uint64_t>(result.num_parameters));
}

TEST_F(Plan, bfloat16_halves_weights_and_adds_f32_masters) {
  const MemoryPlan wide = plan(), narrow = plan({"model.dtype=bfloat16"});
  EXPECT_EQ(2 * bytes(narrow, "weights: language"), bytes(wide, "weights: language"));
  EXPECT_EQ(bytes(narrow, "gradients"), bytes(wide, "gradients"));  // f32, whatever the weights
  EXPECT_EQ(bytes(narrow, "AdamW moments"), bytes(wide, "AdamW moments"));
  EXPECT_EQ(bytes(narrow, "AdamW f32 weights"), 4 * static_cast<uint64_t>(wide.num_parameters));
  EXPECT_EQ(bytes(wide, "AdamW f32 weights"), 0u);
}

TEST_F(Plan, cache_is_that_of_the_sampler_and_limited_by_its_rows) {
  // 2 layers, 2 heads of 8 for keys and values each: 64 values of 4 bytes a slot.
  const auto& model = testing::TinyPolicy::instance().model();
  const model::KvCache cache = model.make_cache(5);
  uint64_t slot = 0;
  for (size_t i = 0; i < cache.keys.size(); ++i)
    slot += (cache.keys[i].nbytes() + cache.values[i].nbytes()) / 5;
  EXPECT_EQ(slot, 256u);
  const std::vector<std::string> sizes = {"rollout.group_size=8", "rollout.max_new_tokens=10"};
  auto few = sizes, many = sizes;
  few.push_back("trainer.prompts_per_step=3");
  many.push_back("trainer.prompts_per_step=1000");
  EXPECT_EQ(bytes(plan(few), "KV cache"), 3 * (100 + 8 * 10) * slot);
  EXPECT_EQ(bytes(plan(many), "KV cache"), 32 * (100 + 8 * 10) * slot);  // 256 / 8 prompts
  few.push_back("rollout.replay=recorded.jsonl");
  EXPECT_EQ(bytes(plan(few), "KV cache"), 0u);
}

TEST_F(Plan, activations_follow_the_stated_formula_for_whole_groups) {
  // Per token and layer 4 D + (H + 2 K) E + H E + 3 I with D 32, H 4, K 2, E 8, I 48.
  constexpr uint64_t kValues = 2 * (4 * 32 + (4 + 2 * 2) * 8 + 4 * 8 + 3 * 48);
  const std::vector<std::string> sizes = {
      "rollout.group_size=4", "rollout.max_new_tokens=11", "trainer.prompts_per_step=5"};
  constexpr uint64_t kGroup = 100 + 4 * 10;  // the last token of a completion is never read
  auto with = [&](const std::string& extra) {
    auto overrides = sizes;
    overrides.push_back(extra);
    return bytes(plan(overrides), "activations: language");
  };
  EXPECT_EQ(with("trainer.micro_batch_tokens=300"), 2 * kGroup * kValues * 4);
  EXPECT_EQ(with("trainer.micro_batch_tokens=1"), kGroup * kValues * 4);  // never cut
  EXPECT_EQ(with("trainer.micro_batch_tokens=100000"), 5 * kGroup * kValues * 4);
  EXPECT_EQ(with("model.share_prefix=false"), 5 * 4 * (100 + 10) * kValues * 4);
}

TEST_F(Plan, peak_takes_the_larger_phase) {
  const MemoryPlan result = plan();
  const uint64_t rollout = result.bytes_of(Phase::kRollout),
                 update = result.bytes_of(Phase::kUpdate);
  EXPECT_GT(std::min(rollout, update), 0u);
  EXPECT_EQ(result.peak_bytes(), result.bytes_of(Phase::kAlways) + std::max(rollout, update));
}

}  // namespace
}  // namespace sgrpo::trainer
