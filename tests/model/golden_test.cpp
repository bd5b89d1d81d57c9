// Qwen2.5-VL against transformers (tests/golden/model/make_golden.py).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "model/golden_model.h"
#include "model/qwen2_5_vl/vision.h"
#include "testing/expect_close.h"

namespace sgrpo::model {
namespace {

using sgrpo::testing::expect_bitwise_equal;
using sgrpo::testing::expect_close;
using sgrpo::testing::expect_close_in_norm;

class Golden : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Cases,
                         Golden,
                         ::testing::Values("text", "image", "images"),
                         [](const auto& test) { return std::string(test.param); });

// Both sides round in float32 and in another order: about ten layers of sums of at most 96 products
// of size 1 make 1e-6 to 1e-5; a wrong formula makes 1e-2.
TEST_P(Golden, hidden_states_match) {
  const Checkpoint checkpoint = Checkpoint::golden();
  const GoldenCase c = golden_case(GetParam());
  const auto model = checkpoint.load();
  expect_close(model->forward(c.input), c.hidden, 2e-5, "with gradient");
  const at::NoGradGuard guard;
  expect_close(model->forward(c.input), c.hidden, 2e-5, "without gradient");
}

TEST_P(Golden, logprobs_and_entropies_match) {
  const Checkpoint checkpoint = Checkpoint::golden();
  const GoldenCase c = golden_case(GetParam());
  const auto [logprobs, entropy] = scores(*checkpoint.load(), c.input, c.prompt_length);
  expect_close(logprobs, c.logprobs, 2e-5, "logprobs");
  expect_close(entropy, c.entropy, 2e-5, "entropy");
}

TEST_P(Golden, bfloat16_stays_near) {
  const Checkpoint checkpoint = Checkpoint::golden();
  const GoldenCase c = golden_case(GetParam());
  const auto model = checkpoint.load(cpu_options(), at::kBFloat16);
  EXPECT_EQ(model->output_weight().scalar_type(), at::kBFloat16);
  const at::NoGradGuard guard;
  // Hidden states are of size 1 and carry 8 bits through about ten layers of roundings.
  expect_close_in_norm(model->forward(c.input), c.hidden, 10 * 0x1p-8);
}

class GoldenVision : public Golden {};
INSTANTIATE_TEST_SUITE_P(Cases,
                         GoldenVision,
                         ::testing::Values("image", "images"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(GoldenVision, windows_are_those_of_transformers) {
  const Checkpoint checkpoint = Checkpoint::golden();
  const auto config = qwen2_5_vl::read_vision_config(checkpoint.config, "config.json");
  const GoldenCase c = golden_case(GetParam());
  const auto windows = qwen2_5_vl::window_order(c.input.grid_thw, config);
  expect_bitwise_equal(at::tensor(windows.order, at::kLong), c.window_order);
  expect_bitwise_equal(at::tensor(windows.inverse, at::kLong), c.window_order.argsort());
  expect_bitwise_equal(at::tensor(windows.lengths, at::kLong).cumsum(0), c.window_ends);
}

TEST_P(GoldenVision, features_come_in_image_order) {
  const Checkpoint checkpoint = Checkpoint::golden();
  const ModelSource source = checkpoint.source();
  WeightLoader weights(source, cpu_options());
  const qwen2_5_vl::Tower tower(qwen2_5_vl::read_vision_config(source.config, source.where),
                                weights);
  const GoldenCase c = golden_case(GetParam());
  expect_close(tower.encode(c.input.pixel_values, c.input.grid_thw).tokens, c.features, 2e-5);
}

TEST(GoldenGradients, match_for_every_parameter) {
  const Checkpoint checkpoint = Checkpoint::golden();
  const auto model = checkpoint.load();
  const GoldenCase c = golden_case("images");
  const auto [logprobs, entropy] = scores(*model, c.input, c.prompt_length);
  logprobs.mean().neg().backward();
  const sgrpo::testing::GoldenTensors golden(golden_folder() + "grad.safetensors");
  EXPECT_EQ(golden.all().size(), model->parameters().size());
  for (const auto& [name, grad] : gradients(*model)) {
    ASSERT_TRUE(grad.defined()) << name;
    expect_close_in_norm(grad, golden.at(name), 2e-5, name);
  }
}

}  // namespace
}  // namespace sgrpo::model
