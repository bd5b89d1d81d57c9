// CUDA against the CPU, forward and backward. Skipped where the build or the machine has no GPU.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "sgrpo/core/error.h"
#include "sgrpo/ops/ops.h"
#include "testing/expect_close.h"
#include "testing/random_tensor.h"

namespace sgrpo::ops {
namespace {

using sgrpo::testing::expect_bitwise_equal;
using sgrpo::testing::expect_close;
using sgrpo::testing::random_ids;
using sgrpo::testing::random_normal;
using sgrpo::testing::tolerance_for;
using torch::autograd::variable_list;

class Cuda : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!at::hasCUDA() || at::detail::getCUDAHooks().deviceCount() == 0)
      GTEST_SKIP() << "no CUDA device";
  }
};

/// Outputs of `op` and gradients of its inputs for fixed random gradients, on one device.
template <class Op>
variable_list run(const Op& op, const variable_list& inputs, at::Device device) {
  variable_list leaves;
  for (const at::Tensor& x : inputs) leaves.push_back(x.to(device).detach().requires_grad_());
  variable_list result = op(leaves);
  variable_list weighted;
  for (size_t i = 0; i < result.size(); ++i)
    weighted.push_back(random_normal(result[i].sizes(), 90 + i).to(result[i].options()));
  const variable_list grads = torch::autograd::grad(result, leaves, weighted);
  result.insert(result.end(), grads.begin(), grads.end());
  return result;
}

template <class Op>
void expect_devices_agree(const Op& op,
                          const variable_list& inputs,
                          int64_t length,
                          const std::string& what) {
  const variable_list cpu = run(op, inputs, at::kCPU), cuda = run(op, inputs, at::kCUDA),
                      again = run(op, inputs, at::kCUDA);
  for (size_t i = 0; i < cpu.size(); ++i) {
    const double size = 1.0 + cpu[i].abs().max().item<double>();
    const std::string name = core::str(what, ", result ", i);
    expect_close(cuda[i], cpu[i], tolerance_for(cpu[i].scalar_type(), length, 4.0 * size), name);
    expect_bitwise_equal(again[i], cuda[i], name);
  }
}

TEST_F(Cuda, segment_attention_agrees_with_the_cpu) {
  const AttentionPlan tries = AttentionPlan::make(
      {{0, 70, 0, 0, 0, 70}, {70, 90, 0, 70, 70, 90}, {90, 131, 0, 70, 90, 131}},
      {131, 131},
      /*causal=*/true);
  const AttentionPlan windows = AttentionPlan::of_lengths({64, 67}, /*causal=*/false);
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    for (const int64_t head_dim : {8, 20, 32, 64, 80, 128, 256}) {
      for (const bool causal : {true, false}) {
        const AttentionPlan& plan = causal ? tries : windows;
        const auto op = [&](const variable_list& in) {
          return variable_list{
              segment_attention(in[0], in[1], in[2], plan.to(in[0].device()), 0.2)};
        };
        expect_devices_agree(op,
                             {random_normal({131, 4, head_dim}, 1).to(dtype),
                              random_normal({131, 2, head_dim}, 2).to(dtype),
                              random_normal({131, 2, head_dim}, 3).to(dtype)},
                             131 + 2 * head_dim,
                             core::str("head_dim ", head_dim, causal ? " causal" : " windows"));
      }
    }
  }
}

TEST_F(Cuda, linear_logprob_agrees_with_the_cpu) {
  for (const int64_t vocab : {5, 1000, 40'000}) {
    const at::Tensor labels = random_ids({120}, vocab - 1, 4),
                     masked = at::full({1}, vocab - 1, at::kLong);
    const auto op = [&](const variable_list& in) {
      const auto device = in[0].device();
      const auto [logprobs, entropy] =
          linear_logprob(in[0], in[1], labels.to(device), masked.to(device), 0.8);
      return variable_list{logprobs, entropy};
    };
    expect_devices_agree(op,
                         {random_normal({120, 48}, 1).to(at::kFloat),
                          (random_normal({vocab, 48}, 2) / 7.0).to(at::kFloat)},
                         1024 + vocab,
                         core::str("vocabulary ", vocab));
  }
}

TEST_F(Cuda, layers_agree_with_the_cpu) {
  const at::Tensor angle = random_normal({50, 10}, 3).to(at::kFloat);
  const auto op = [&](const variable_list& in) {
    const auto device = in[0].device();
    const at::Tensor normed = rms_norm(in[0], in[1], 1e-6);
    return variable_list{
        normed,
        rotate(in[0].view({50, 2, 20}), angle.cos().to(device), angle.sin().to(device)),
        swiglu(in[0], normed)};
  };
  expect_devices_agree(
      op,
      {random_normal({50, 40}, 1).to(at::kFloat), random_normal({40}, 2).to(at::kFloat)},
      90,
      "layers");
}

TEST_F(Cuda, sampling_gives_the_tokens_of_the_cpu) {
  const at::Tensor logits = random_normal({33, 700}, 5).to(at::kFloat);
  const at::Tensor uniform = (at::arange(33, at::kDouble) + 0.5) / 33.0,
                   masked = at::tensor({3, 699}, at::kLong);
  const SampleOptions options{.temperature = 0.9, .top_p = 0.95, .top_k = 100};
  const SampledTokens cpu = sample_tokens(logits, uniform, masked, options);
  const SampledTokens cuda =
      sample_tokens(logits.to(at::kCUDA), uniform, masked.to(at::kCUDA), options);
  expect_bitwise_equal(cuda.ids.cpu(), cpu.ids);
  expect_bitwise_equal(cuda.logprobs.cpu(), cpu.logprobs);
  expect_bitwise_equal(cuda.entropy.cpu(), cpu.entropy);
}

}  // namespace
}  // namespace sgrpo::ops
