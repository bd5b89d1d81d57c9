#include "sgrpo/optim/gradient_sum.h"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

namespace sgrpo::optim {
namespace {

class Done final : public distributed::Handle {
 public:
  void wait() override {}
};

/// Two ranks with equal gradients: a sum doubles. Writes down what it is asked for.
class Twin final : public distributed::Communicator {
 public:
  std::vector<int64_t> sizes;
  std::vector<at::ScalarType> dtypes;

  int64_t rank() const override { return 0; }
  int64_t size() const override { return 2; }
  std::unique_ptr<distributed::Handle> all_reduce(at::Tensor values,
                                                  distributed::Reduction /*reduction*/) override {
    sizes.push_back(values.numel());
    dtypes.push_back(values.scalar_type());
    values.mul_(2);
    return std::make_unique<Done>();
  }
  std::unique_ptr<distributed::Handle> reduce_scatter(const at::Tensor& /*values*/,
                                                      at::Tensor /*piece*/) override {
    throw std::logic_error("not asked for");
  }
  std::unique_ptr<distributed::Handle> all_gather(const at::Tensor& /*piece*/,
                                                  at::Tensor /*values*/) override {
    throw std::logic_error("not asked for");
  }
  std::unique_ptr<distributed::Handle> broadcast(at::Tensor /*values*/, int64_t /*root*/) override {
    throw std::logic_error("not asked for");
  }
  std::vector<std::string> all_gather_bytes(const std::string& bytes) override {
    return {bytes, bytes};
  }
  void barrier() override {}
  void note(const std::string& /*doing*/) override {}
  void abort(const std::string& /*reason*/) override {}
  std::string failure() const override { return ""; }
};

at::Tensor parameter(at::IntArrayRef shape, at::ScalarType dtype = at::kFloat) {
  return at::zeros(shape, at::TensorOptions().dtype(dtype)).requires_grad_();
}

TEST(GradientSum, sums_are_written_back_whatever_the_buckets) {
  for (const int64_t bucket : {1, 7, 1000}) {
    std::vector<at::Tensor> parameters = {parameter({2, 3}), parameter({5}), parameter({4})};
    for (size_t i = 0; i < parameters.size(); ++i)
      parameters[i].mutable_grad() =
          at::arange(parameters[i].numel(), at::kFloat).view(parameters[i].sizes());
    parameters[1].mutable_grad().add_(10);
    Twin twin;
    const GradientSum sum(parameters, bucket);
    sum.run(twin);
    EXPECT_EQ(static_cast<int64_t>(twin.sizes.size()), sum.num_buckets());
    EXPECT_TRUE(parameters[0].grad().equal(2 * at::arange(6, at::kFloat).view({2, 3})));
    EXPECT_TRUE(parameters[1].grad().equal(2 * (at::arange(5, at::kFloat) + 10)));
    EXPECT_TRUE(parameters[2].grad().equal(2 * at::arange(4, at::kFloat)));
  }
}

TEST(GradientSum, calls_follow_from_the_parameters_alone) {
  std::vector<at::Tensor> parameters = {
      parameter({6}), parameter({5}), parameter({4}), parameter({3}, at::kDouble)};
  const GradientSum sum(parameters, 9);
  Twin all, none;
  for (at::Tensor& each : parameters) each.mutable_grad() = at::ones_like(each);
  sum.run(all);
  for (at::Tensor& each : parameters) each.mutable_grad() = at::Tensor();
  sum.run(none);
  EXPECT_EQ(all.sizes, (std::vector<int64_t>{3, 9, 6})) << "the last ones first";
  EXPECT_EQ(all.dtypes, (std::vector<at::ScalarType>{at::kDouble, at::kFloat, at::kFloat}));
  EXPECT_EQ(none.sizes, all.sizes);
  for (const at::Tensor& each : parameters) EXPECT_TRUE(each.grad().eq(0).all().item<bool>());
}

TEST(GradientSum, one_rank_sends_nothing) {
  std::vector<at::Tensor> parameters = {parameter({6})};
  GradientSum(parameters).run(*distributed::make_local());
  EXPECT_FALSE(parameters[0].grad().defined());
}

}  // namespace
}  // namespace sgrpo::optim
