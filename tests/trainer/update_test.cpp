// What an update does to the weights, however the batch was cut.
#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

using Update = Runs;

/// Largest difference of weights that still counts as rounding. A gradient is a sum of some hundred
/// terms in f32 (relative error about 100 * 2^-24 = 6e-6) of norm at most 1 after clipping, times
/// the learning rate 0.05: 3e-7.
constexpr double kRounding = 1e-6;
/// The least that an update of this size must move: comparisons of less would prove nothing.
constexpr double kMoved = 1e-3;

TEST_F(Update, sft_in_micro_batches_equals_one_batch) {
  const auto whole = run("whole", {"trainer.micro_batch_tokens=100000"}, Task::kSft);
  const auto cut = run("cut", {"trainer.micro_batch_tokens=1"}, Task::kSft);
  const Tensors start = read_tensors(model() / "model.safetensors");
  const Tensors a = read_tensors(weights_of(whole, 1)), b = read_tensors(weights_of(cut, 1));
  EXPECT_GT(max_difference(start, a), kMoved);
  EXPECT_LT(max_difference(a, b), kRounding);
}

TEST_F(Update, policy_gradient_in_micro_batches_equals_one_batch) {
  for (const char* aggregation :
       {"token_mean", "seq_mean_token_mean", "seq_mean_token_sum_const"}) {
    const Overrides options = both(coin(), {core::str("algorithm.aggregation=", aggregation)});
    const std::string name = aggregation;
    const auto whole = run(name + "-whole", both(options, {"trainer.micro_batch_tokens=100000"}));
    const auto cut = run(name + "-cut", both(options, {"trainer.micro_batch_tokens=1"}));
    const Tensors a = read_tensors(weights_of(whole, 1)), b = read_tensors(weights_of(cut, 1));
    EXPECT_GT(max_difference(read_tensors(model() / "model.safetensors"), a), kMoved / 10) << name;
    EXPECT_LT(max_difference(a, b), kRounding) << name;
    EXPECT_NEAR(metrics_of(whole)[0].at("loss").get<double>(),
                metrics_of(cut)[0].at("loss").get<double>(),
                1e-6);
  }
}

TEST_F(Update, shared_prefix_gives_the_update_of_whole_rows) {
  const Overrides options = both(coin(), {"algorithm.kl_coef=0.1", "algorithm.entropy_coef=0.01"});
  const auto shared = run("shared", both(options, {"model.share_prefix=true"}));
  const auto whole = run("whole", both(options, {"model.share_prefix=false"}));
  const Tensors a = read_tensors(weights_of(shared, 1)), b = read_tensors(weights_of(whole, 1));
  EXPECT_GT(max_difference(read_tensors(model() / "model.safetensors"), a), kMoved);
  EXPECT_LT(max_difference(a, b), kRounding);
}

TEST_F(Update, several_updates_of_a_rollout_are_counted_and_clipped) {
  const auto folder = run("many",
                          both(coin(),
                               {"algorithm.epochs_per_rollout=3",
                                "algorithm.minibatches_per_rollout=2",
                                "algorithm.clip_low=0.001",
                                "algorithm.clip_high=0.001",
                                "optim.lr=0.5"}));
  const Json row = metrics_of(folder)[0];
  EXPECT_GT(row.at("clip_ratio/region_mean").get<double>(), 0.0);
  EXPECT_LE(row.at("clip_ratio/region_mean").get<double>(), 1.0);
  EXPECT_EQ(read_tensors(optimizer_of(folder, 1)).at("count").item<int64_t>(), 6);
  // The first pass is on-policy: what old and sampler say of the same tokens agrees.
  EXPECT_LT(row.at("sampling/sampling_logp_difference/max").get<double>(), 1e-4);
}

// What pays the KL was scored in other passes than the update's: a group without advantage is not
// packed again, and with another number of rows a product rounds otherwise.
TEST_F(Update, ratio_of_a_single_update_is_one_whatever_was_scored_before) {
  const auto folder = run("paid",
                          both(coin(),
                               {"trainer.steps=4",
                                "algorithm.kl_coef=0.01",
                                "algorithm.kl_place=reward",
                                "algorithm.clip_low=0",
                                "algorithm.clip_high=0"}));
  for (const Json& row : metrics_of(folder)) {
    EXPECT_EQ(row.at("clip_ratio/region_mean").get<double>(), 0.0) << row.at("step");
  }
}

TEST_F(Update, step_without_signal_leaves_everything_but_the_schedule_alone) {
  const auto folder = run("dead",
                          both(always_right(),
                               {"trainer.steps=3",
                                "trainer.save_every=1",
                                "trainer.keep_last=0",
                                "optim.schedule=linear",
                                "optim.weight_decay=0.1"}));
  for (const int64_t step : {1, 2, 3}) {
    expect_same_bytes(weights_of(folder, step), model() / "model.safetensors");
    const Tensors state = read_tensors(optimizer_of(folder, step));
    EXPECT_EQ(state.at("count").item<int64_t>(), 0);
    for (const auto& [name, tensor] : state) EXPECT_EQ(tensor.abs().max().item<double>(), 0.0);
    const Json row = metrics_of(folder)[static_cast<size_t>(step - 1)];
    EXPECT_EQ(row.at("optim/no_signal_steps"), step);
    EXPECT_EQ(row.at("group/frac_all_pass"), 1);
    EXPECT_NEAR(row.at("learning_rate").get<double>(),
                0.05 * (1.0 - static_cast<double>(step - 1) / 3.0),
                1e-12);
  }
}

TEST_F(Update, dead_step_after_live_ones_keeps_moments_bit_by_bit) {
  const auto folder =
      run("sft-then-dead",
          both(always_right(), {"trainer.steps=2", "trainer.sft_steps=1", "trainer.save_every=1"}));
  expect_same_bytes(weights_of(folder, 1), weights_of(folder, 2));
  expect_same_bytes(optimizer_of(folder, 1), optimizer_of(folder, 2));
  EXPECT_EQ(read_tensors(optimizer_of(folder, 2)).at("count").item<int64_t>(), 1);
  EXPECT_EQ(metrics_of(folder)[1].at("optim/no_signal_steps"), 1);
  const at::Tensor moment =
      read_tensors(optimizer_of(folder, 2)).at("exp_avg.model.embed_tokens.weight");
  EXPECT_GT(moment.abs().max().item<double>(), 0.0);
}

TEST_F(Update, kl_is_zero_at_the_start_and_grows_as_weights_leave_the_reference) {
  const auto folder = run("kl", both(coin(), {"algorithm.kl_coef=0.01", "trainer.steps=3"}));
  const auto rows = metrics_of(folder);
  EXPECT_NEAR(rows[0].at("kl").get<double>(), 0.0, 1e-6);
  EXPECT_GT(rows[2].at("kl").get<double>(), 1e-5);
}

TEST_F(Update, frozen_modules_are_saved_byte_for_byte_and_the_rest_moves) {
  const auto folder = run("frozen", both(coin(), {"model.freeze=[vision, merger]"}));
  const Tensors before = read_tensors(model() / "model.safetensors");
  const Tensors after = read_tensors(weights_of(folder, 1));
  ASSERT_EQ(before.size(), after.size());
  int64_t frozen = 0, moved = 0;
  for (const auto& [name, tensor] : before) {
    const bool is_vision = name.find("visual") != std::string::npos;
    if (is_vision) {
      ++frozen;
      EXPECT_TRUE(at::equal(tensor, after.at(name))) << name;
    } else {
      moved += at::equal(tensor, after.at(name)) ? 0 : 1;
    }
  }
  EXPECT_GT(frozen, 20);
  EXPECT_GT(moved, 20);
  for (const auto& [name, tensor] : read_tensors(optimizer_of(folder, 1)))
    EXPECT_EQ(name.find("visual"), std::string::npos) << "a frozen tensor has no state";
  EXPECT_EQ(error_of({"model.freeze=[vision, merger, language]"}),
            "model.freeze leaves no parameter to train: remove a module from the list");
}

TEST_F(Update, weights_go_back_in_the_dtype_of_the_input_and_training_stays_in_f32) {
  testing::TinyCheckpoint tiny;
  tiny.dtype = at::kBFloat16;
  std::filesystem::remove_all(model());
  testing::write_tiny_checkpoint(model(), tiny);
  const Overrides options = both(coin(), {"optim.lr=0.001"});
  const auto folder = run("narrow", options);
  const Tensors saved = read_tensors(weights_of(folder, 1));
  const Tensors state = read_tensors(optimizer_of(folder, 1));
  for (const auto& [name, tensor] : saved) {
    EXPECT_EQ(tensor.scalar_type(), at::kBFloat16) << name;
    const at::Tensor& wide = state.at("weight." + name);
    EXPECT_EQ(wide.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(wide.to(at::kBFloat16), tensor)) << name;
  }
}

}  // namespace
}  // namespace sgrpo::trainer
