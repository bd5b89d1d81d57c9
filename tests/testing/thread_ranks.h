// Communicators of ranks that are threads: the arithmetic of several processes in one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "sgrpo/distributed/communicator.h"
#include "testing/rank_threads.h"

namespace sgrpo::testing {

/// One thread's end. Sums are made in rank order, so that all ranks have the same bits.
class ThreadRank final : public distributed::Communicator {
 public:
  ThreadRank(Exchange& exchange, int64_t rank, int64_t size)
      : exchange_(exchange), rank_(rank), size_(size) {}

  int64_t rank() const override { return rank_; }
  int64_t size() const override { return size_; }

  std::unique_ptr<distributed::Handle> all_reduce(at::Tensor values,
                                                  distributed::Reduction reduction) override {
    std::vector<at::Tensor> all = gather(values);
    at::Tensor result = all.front();
    for (size_t i = 1; i < all.size(); ++i) {
      if (reduction == distributed::Reduction::kSum) result = result + all[i];
      if (reduction == distributed::Reduction::kMax) result = at::maximum(result, all[i]);
      if (reduction == distributed::Reduction::kMin) result = at::minimum(result, all[i]);
    }
    values.copy_(result);
    return std::make_unique<Done>();
  }
  std::unique_ptr<distributed::Handle> reduce_scatter(const at::Tensor& values,
                                                      at::Tensor piece) override {
    at::Tensor sum = values.clone();
    all_reduce(sum, distributed::Reduction::kSum);
    piece.copy_(sum.narrow(0, rank_ * piece.numel(), piece.numel()));
    return std::make_unique<Done>();
  }
  std::unique_ptr<distributed::Handle> all_gather(const at::Tensor& piece,
                                                  at::Tensor values) override {
    values.copy_(at::cat(gather(piece)));
    return std::make_unique<Done>();
  }
  std::unique_ptr<distributed::Handle> broadcast(at::Tensor values, int64_t root) override {
    values.copy_(gather(values)[static_cast<size_t>(root)]);
    return std::make_unique<Done>();
  }
  std::vector<std::string> all_gather_bytes(const std::string& bytes) override {
    return exchange_.gather(rank_, bytes);
  }
  void barrier() override { exchange_.gather(rank_, ""); }
  void note(const std::string& /*doing*/) override {}
  void abort(const std::string& /*reason*/) override { exchange_.leave(); }
  std::string failure() const override { return ""; }

 private:
  class Done final : public distributed::Handle {
   public:
    void wait() override {}
  };

  std::vector<at::Tensor> gather(const at::Tensor& own) {
    const at::Tensor flat = own.contiguous();
    std::string bytes(static_cast<const char*>(flat.const_data_ptr()), flat.nbytes());
    std::vector<at::Tensor> all;
    for (std::string& each : exchange_.gather(rank_, bytes))
      all.push_back(at::from_blob(each.data(), flat.sizes(), flat.options()).clone());
    return all;
  }

  Exchange& exchange_;
  int64_t rank_, size_;
};

}  // namespace sgrpo::testing
