// Rows of a table by id: what LibTorch gives, with gradients summed in float32.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "sgrpo/ops/ops.h"

namespace sgrpo::ops {
namespace {

TEST(Embedding, float32_equals_libtorch_bit_for_bit) {
  const at::Tensor weight = at::arange(35, at::kFloat).sin().view({7, 5}).requires_grad_();
  const at::Tensor ids = at::tensor({3, 0, 3, 6, 3, 1}, at::kLong).view({2, 3});
  const at::Tensor grad = at::arange(30, at::kFloat).cos().view({2, 3, 5});
  const at::Tensor got = embed(weight, ids), expected = at::embedding(weight, ids);
  EXPECT_TRUE(at::equal(got, expected));
  EXPECT_TRUE(at::equal(torch::autograd::grad({got}, {weight}, {grad})[0],
                        torch::autograd::grad({expected}, {weight}, {grad})[0]));
}

// 900 * 0.01171875 = 10.546875 needs fewer than 24 bits, so that float32 is exact. In bfloat16 the
// sum stands still at 4, where half of the distance to the next number is larger than the addend.
TEST(Embedding, bf16_gradient_of_many_equal_ids_is_rounded_once) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor weight = at::zeros({3, 2}, at::kBFloat16).requires_grad_();
    weight.set_grad_dtype(type);
    const at::Tensor rows = embed(weight, at::ones({900}, at::kLong));
    EXPECT_EQ(rows.scalar_type(), at::kBFloat16);
    rows.backward(at::full({900, 2}, 0.01171875, at::kBFloat16));
    EXPECT_EQ(weight.grad().scalar_type(), type);
    const at::Tensor expected = at::tensor({0.0, 10.546875, 0.0}).unsqueeze(1).expand({3, 2});
    EXPECT_TRUE(at::equal(weight.grad(), expected.to(type))) << weight.grad();
  }
}

TEST(Embedding, second_derivative_is_refused) {
  const at::Tensor weight = at::ones({3, 2}).requires_grad_();
  const at::Tensor rows = embed(weight, at::tensor({0, 2}, at::kLong));
  EXPECT_THROW(torch::autograd::grad({rows.square().sum()}, {weight}, {}, true, true),
               c10::NotImplementedError);
}

}  // namespace
}  // namespace sgrpo::ops
