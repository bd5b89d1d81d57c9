// Shapes without data: what planning memory needs of every op.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "sgrpo/ops/ops.h"

namespace sgrpo::ops {
namespace {

at::Tensor meta(at::IntArrayRef shape, at::ScalarType dtype = at::kFloat) {
  return at::empty(shape, at::TensorOptions().device(at::kMeta).dtype(dtype));
}

TEST(Meta, segment_attention_gives_shapes_forward_and_backward) {
  const at::Tensor q = meta({5, 4, 8}).requires_grad_(), k = meta({7, 2, 8}).requires_grad_();
  const auto plan =
      AttentionPlan::make({{0, 5, 0, 2, 2, 7}}, {5, 7}, /*causal=*/true).to(at::kMeta);
  const at::Tensor out = segment_attention(q, k, k, plan, 1.0);
  EXPECT_TRUE(out.is_meta());
  EXPECT_EQ(out.sizes(), q.sizes());
  EXPECT_EQ(torch::autograd::grad({out.sum()}, {k})[0].sizes(), k.sizes());
}

TEST(Meta, linear_logprob_gives_shapes_forward_and_backward) {
  const at::Tensor hidden = meta({3, 8}, at::kBFloat16).requires_grad_();
  const at::Tensor weight = meta({50, 8}, at::kBFloat16).requires_grad_();
  const auto [logprobs, entropy] =
      linear_logprob(hidden, weight, meta({3}, at::kLong), meta({1}, at::kLong), 1.0);
  EXPECT_EQ(logprobs.sizes(), (at::IntArrayRef{3}));
  EXPECT_EQ(entropy.scalar_type(), at::kFloat);
  const auto grads = torch::autograd::grad({logprobs.sum()}, {hidden, weight});
  EXPECT_EQ(grads[1].sizes(), weight.sizes());
  EXPECT_EQ(grads[1].scalar_type(), at::kBFloat16);
}

TEST(Meta, sample_tokens_gives_shapes) {
  const auto [ids, logprobs, entropy] =
      sample_tokens(meta({3, 50}), meta({3}, at::kDouble), meta({0}, at::kLong), {});
  EXPECT_EQ(ids.sizes(), (at::IntArrayRef{3}));
  EXPECT_EQ(ids.scalar_type(), at::kLong);
  EXPECT_EQ(logprobs.scalar_type(), at::kFloat);
  EXPECT_EQ(entropy.sizes(), (at::IntArrayRef{3}));
  EXPECT_EQ(entropy.scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace sgrpo::ops
