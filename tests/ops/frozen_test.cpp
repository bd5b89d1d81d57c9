// Gradients that nobody wants are not computed: frozen weights under LoRA, frozen modules.
#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <map>

#include "sgrpo/ops/ops.h"
#include "testing/expect_close.h"
#include "testing/random_tensor.h"

namespace sgrpo::ops {
namespace {

using sgrpo::testing::expect_bitwise_equal;
using sgrpo::testing::random_ids;
using sgrpo::testing::random_normal;
using torch::autograd::variable_list;

/// Notes of the dispatched calls of this thread: how often each op ran, and which of its last
/// call's results are there.
class Calls {
 public:
  Calls() {
    counts().clear();
    results().clear();
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(nullptr, note)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
  }
  ~Calls() { at::removeCallback(handle_); }
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  static int64_t count(const std::string& op) { return counts()[op]; }
  static const std::vector<bool>& has_results(const std::string& op) { return results()[op]; }

 private:
  static std::map<std::string, int64_t>& counts() {
    static std::map<std::string, int64_t> value;
    return value;
  }
  static std::map<std::string, std::vector<bool>>& results() {
    static std::map<std::string, std::vector<bool>> value;
    return value;
  }
  static void note(const at::RecordFunction& call, at::ObserverContext*) {
    ++counts()[call.name()];
    std::vector<bool> present;
    for (const c10::IValue& output : call.outputs())
      present.push_back(output.isTensor() && output.toTensor().defined());
    results()[call.name()] = present;
  }

  at::CallbackHandle handle_;
};

using Layer = std::function<at::Tensor(const at::Tensor& x, const at::Tensor& weight)>;

/// The gradient of x, and notes of the backward.
at::Tensor gradient_of_x(const Layer& layer, const at::Tensor& weight, bool is_frozen) {
  const at::Tensor x = random_normal({9, weight.size(-1)}, 1).to(weight.scalar_type());
  x.requires_grad_();
  const at::Tensor w = weight.detach().clone().requires_grad_(!is_frozen);
  const at::Tensor loss = layer(x, w);
  const Calls calls;
  loss.backward();
  EXPECT_EQ(w.grad().defined(), !is_frozen);
  return x.grad();
}

at::Tensor head(const at::Tensor& x, const at::Tensor& weight) {
  const auto [logprobs, entropy] = linear_logprob(
      x, weight, random_ids({9}, weight.size(0), 3), at::tensor({2}, at::kLong), 0.7);
  return (logprobs + 0.1 * entropy).sum();
}

at::Tensor norm(const at::Tensor& x, const at::Tensor& weight) {
  return rms_norm(x, weight, 1e-6).square().sum();
}

TEST(Frozen, head_gives_the_same_gradient_and_none_of_its_weight) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor weight = random_normal({50, 24}, 2).to(type);
    const at::Tensor trained = gradient_of_x(head, weight, false);
    EXPECT_EQ(Calls::count("aten::mm"), 2);
    EXPECT_EQ(Calls::has_results("sgrpo::linear_logprob_backward"), (std::vector{true, true}));
    expect_bitwise_equal(gradient_of_x(head, weight, true), trained, "gradient of x");
    EXPECT_EQ(Calls::count("aten::mm"), 1);
    EXPECT_EQ(Calls::has_results("sgrpo::linear_logprob_backward"), (std::vector{true, false}));
  }
}

TEST(Frozen, head_alone_gives_no_gradient_of_what_it_reads) {
  const at::Tensor x = random_normal({9, 24}, 1).to(at::kFloat);
  const at::Tensor weight = random_normal({50, 24}, 2).to(at::kFloat).requires_grad_();
  const at::Tensor loss = head(x, weight);
  const Calls calls;
  loss.backward();
  EXPECT_EQ(Calls::count("aten::mm"), 1);
  EXPECT_EQ(Calls::has_results("sgrpo::linear_logprob_backward"), (std::vector{false, true}));
}

// In double the composition computes, else the kernel.
TEST(Frozen, norm_gives_the_same_gradient_and_none_of_its_weight) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    const at::Tensor weight = random_normal({37}, 2).to(type);
    const at::Tensor trained = gradient_of_x(norm, weight, false);
    EXPECT_EQ(Calls::has_results("sgrpo::rms_norm_backward"), (std::vector{true, true}));
    expect_bitwise_equal(gradient_of_x(norm, weight, true), trained, "gradient of x");
    EXPECT_EQ(Calls::has_results("sgrpo::rms_norm_backward"), (std::vector{true, false}));
  }
}

}  // namespace
}  // namespace sgrpo::ops
