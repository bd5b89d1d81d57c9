#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "sgrpo/core/error.h"
#include "sgrpo/distributed/communicator.h"

namespace sgrpo::distributed {
namespace {

TEST(Local, is_rank_0_of_1_and_gives_back_what_it_gets) {
  const auto local = make_local();
  EXPECT_EQ(local->rank(), 0);
  EXPECT_EQ(local->size(), 1);
  const at::Tensor values = at::tensor({1.0, -2.0}, at::kDouble), expected = values.clone();
  for (const Reduction reduction : {Reduction::kSum, Reduction::kMin, Reduction::kMax}) {
    local->all_reduce(values, reduction)->wait();
    EXPECT_TRUE(values.equal(expected));
    EXPECT_EQ(local->reduce({3, 0.5}, reduction), (std::vector<double>{3, 0.5}));
  }
  local->broadcast(values, 0)->wait();
  EXPECT_TRUE(values.equal(expected));
  at::Tensor piece = at::zeros({2}, at::kDouble), gathered = at::zeros({2}, at::kDouble);
  local->reduce_scatter(values, piece)->wait();
  local->all_gather(values, gathered)->wait();
  EXPECT_TRUE(piece.equal(expected));
  EXPECT_TRUE(gathered.equal(expected));
  EXPECT_EQ(local->all_gather_bytes(std::string("a\0b", 3)),
            (std::vector<std::string>{std::string("a\0b", 3)}));
  local->barrier();
  EXPECT_TRUE(local->reduce({}).empty());
}

TEST(Local, nobody_else_can_fail) {
  const auto local = make_local();
  local->note("generate, step 1");
  local->abort("the disk is full");
  EXPECT_EQ(local->failure(), "");
}

/// Rank 0 of two; the other holds `other`.
class Pair final : public Communicator {
 public:
  explicit Pair(std::vector<double> other) : other_(std::move(other)) {}
  int64_t rank() const override { return 0; }
  int64_t size() const override { return 2; }
  std::unique_ptr<Handle> all_reduce(at::Tensor values, Reduction reduction) override {
    const at::Tensor other = at::tensor(other_, at::TensorOptions().dtype(at::kDouble));
    if (reduction == Reduction::kSum) values += other;
    if (reduction == Reduction::kMin) values.copy_(at::minimum(values, other));
    if (reduction == Reduction::kMax) values.copy_(at::maximum(values, other));
    return local_->all_reduce(values, reduction);
  }
  std::unique_ptr<Handle> reduce_scatter(const at::Tensor& values, at::Tensor piece) override {
    return local_->reduce_scatter(values, piece);
  }
  std::unique_ptr<Handle> all_gather(const at::Tensor& piece, at::Tensor values) override {
    return local_->all_gather(piece, values);
  }
  std::unique_ptr<Handle> broadcast(at::Tensor values, int64_t root) override {
    return local_->broadcast(values, root);
  }
  std::vector<std::string> all_gather_bytes(const std::string& bytes) override { return {bytes}; }
  void barrier() override {}
  void note(const std::string& doing) override { local_->note(doing); }
  void abort(const std::string& reason) override { local_->abort(reason); }
  std::string failure() const override { return local_->failure(); }

 private:
  std::vector<double> other_;
  std::unique_ptr<Communicator> local_ = make_local();
};

TEST(Communicator, reduces_host_numbers_over_ranks) {
  Pair pair({10, -5});
  EXPECT_EQ(pair.reduce({1, 2}), (std::vector<double>{11, -3}));
  EXPECT_EQ(pair.reduce({1, 2}, Reduction::kMin), (std::vector<double>{1, -5}));
  EXPECT_EQ(pair.reduce({1, 2}, Reduction::kMax), (std::vector<double>{10, 2}));
}

}  // namespace
}  // namespace sgrpo::distributed
