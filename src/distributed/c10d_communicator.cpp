#include "distributed/c10d_communicator.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <utility>

#include "sgrpo/core/check.h"
#include "sgrpo/core/error.h"

namespace sgrpo::distributed {
namespace {

using Work = c10::intrusive_ptr<c10d::Work>;

c10d::ReduceOp op_of(Reduction reduction) {
  switch (reduction) {
    case Reduction::kSum: return c10d::ReduceOp::SUM;
    case Reduction::kMin: return c10d::ReduceOp::MIN;
    case Reduction::kMax: return c10d::ReduceOp::MAX;
  }
  throw core::ContractError("no such reduction");
}

/// What NCCL would refuse is refused by all.
void check(const at::Tensor& values) {
  SGRPO_CHECK(values.is_contiguous() && values.dim() == 1,
              "a collective of a tensor that is not flat and contiguous");
  SGRPO_CHECK(values.scalar_type() != at::kBool, "a collective of bool");
}

/// Waits for host collectives in slices, so that a failure elsewhere ends the wait.
void wait_on_host(c10d::Work& work, Liveness& liveness) {
  constexpr std::chrono::milliseconds kSlice{250};
  for (;;) {
    try {
      work.wait(kSlice);  // some of Gloo's works never say that they are completed
      return;
    } catch (const std::exception&) {
      if (work.isCompleted() || !liveness.failure().empty()) throw;
    }
  }
}

class C10dHandle final : public Handle {
 public:
  C10dHandle(Work work, bool is_on_host, std::vector<at::Tensor> tensors, Liveness& liveness)
      : work_(std::move(work)),
        is_on_host_(is_on_host),
        tensors_(std::move(tensors)),
        liveness_(liveness) {}

  void wait() override {
    liveness_.begin_wait();
    try {
      is_on_host_ ? wait_on_host(*work_, liveness_) : static_cast<void>(work_->wait());
    } catch (const std::exception& error) {
      const std::string reason =
          liveness_.failure_soon(core::str("a link to another rank broke: ", error.what()));
      liveness_.meet();
      throw core::RunError(reason);
    }
    liveness_.end_wait();
  }

 private:
  Work work_;
  bool is_on_host_;
  std::vector<at::Tensor> tensors_;  // must outlive the work
  Liveness& liveness_;
};

class C10d final : public Communicator {
 public:
  C10d(Backend host, Backend device, std::unique_ptr<Liveness> liveness)
      : host_(std::move(host)), device_(std::move(device)), liveness_(std::move(liveness)) {}

  /// Ranks leave together; after a failure nothing may be waited for, and a backend's destructor
  /// does.
  ~C10d() override {
    if (!is_aborted_ && liveness_->failure().empty() && std::uncaught_exceptions() == 0) {
      try {
        barrier();
        liveness_->leave();
        barrier();
      } catch (const core::RunError&) {
        is_aborted_ = true;
      }
    } else {
      is_aborted_ = true;
    }
    if (!is_aborted_) return;
    host_.release();      // NOLINT: not to be destroyed
    device_.release();    // NOLINT: as above
    liveness_.release();  // NOLINT: its thread may wait for a store that never answers
  }

  int64_t rank() const override { return host_->getRank(); }
  int64_t size() const override { return host_->getSize(); }

  std::unique_ptr<Handle> all_reduce(at::Tensor values, Reduction reduction) override {
    check(values);
    return start(values, [&](c10d::Backend& backend, std::vector<at::Tensor>& tensors) {
      c10d::AllreduceOptions options;
      options.reduceOp = op_of(reduction);
      return backend.allreduce(tensors, options);
    });
  }

  std::unique_ptr<Handle> reduce_scatter(const at::Tensor& values, at::Tensor piece) override {
    check(values);
    check(piece);
    return start(values, [&](c10d::Backend& backend, std::vector<at::Tensor>& tensors) {
      tensors.push_back(piece);
      at::Tensor input = values;
      return backend._reduce_scatter_base(piece, input);
    });
  }

  std::unique_ptr<Handle> all_gather(const at::Tensor& piece, at::Tensor values) override {
    check(values);
    check(piece);
    return start(piece, [&](c10d::Backend& backend, std::vector<at::Tensor>& tensors) {
      tensors.push_back(values);
      at::Tensor input = piece;
      return backend._allgather_base(values, input);
    });
  }

  std::unique_ptr<Handle> broadcast(at::Tensor values, int64_t root) override {
    check(values);
    return start(values, [&](c10d::Backend& backend, std::vector<at::Tensor>& tensors) {
      c10d::BroadcastOptions options;
      options.rootRank = root;
      return backend.broadcast(tensors, options);
    });
  }

  std::vector<std::string> all_gather_bytes(const std::string& bytes) override {
    const auto count = static_cast<int64_t>(bytes.size());
    at::Tensor sizes = at::empty({size()}, at::kLong);
    all_gather(at::full({1}, count, at::kLong), sizes)->wait();
    const auto* lengths = sizes.const_data_ptr<int64_t>();
    const int64_t longest = *std::max_element(lengths, lengths + size());
    if (longest == 0) return std::vector<std::string>(static_cast<size_t>(size()));
    at::Tensor own = at::zeros({longest}, at::kByte);
    std::memcpy(own.mutable_data_ptr<uint8_t>(), bytes.data(), bytes.size());
    at::Tensor all = at::empty({size() * longest}, at::kByte);
    all_gather(own, all)->wait();
    std::vector<std::string> result;
    const auto* data = reinterpret_cast<const char*>(all.const_data_ptr<uint8_t>());
    for (int64_t other = 0; other < size(); ++other)
      result.emplace_back(data + other * longest, static_cast<size_t>(lengths[other]));
    return result;
  }

  void barrier() override { all_reduce(at::zeros({1}, at::kFloat), Reduction::kSum)->wait(); }

  void note(const std::string& doing) override { liveness_->note(doing); }

  void abort(const std::string& reason) override {
    is_aborted_ = true;
    if (liveness_->failure().empty()) liveness_->abort(reason);  // else all know, or nobody hears
  }

  std::string failure() const override {
    const std::string reason = liveness_->failure();
    if (!reason.empty()) liveness_->meet();
    return reason;
  }

 private:
  template <class Call>
  std::unique_ptr<Handle> start(const at::Tensor& first, Call&& call) {
    if (const std::string reason = failure(); !reason.empty()) throw core::RunError(reason);
    const bool is_on_host = first.is_cpu();
    SGRPO_CHECK(is_on_host || device_, "a collective of a tensor on ", first.device().str());
    std::vector<at::Tensor> tensors = {first};
    try {
      Work work = call(is_on_host ? *host_ : *device_, tensors);
      return std::make_unique<C10dHandle>(
          std::move(work), is_on_host, std::move(tensors), *liveness_);
    } catch (const std::exception& error) {
      const std::string reason =
          liveness_->failure_soon(core::str("a link to another rank broke: ", error.what()));
      liveness_->meet();
      throw core::RunError(reason);
    }
  }

  Backend host_, device_;
  std::unique_ptr<Liveness> liveness_;
  bool is_aborted_ = false;
};

}  // namespace

std::unique_ptr<Communicator> make_c10d(Backend host,
                                        Backend device,
                                        std::unique_ptr<Liveness> liveness) {
  return std::make_unique<C10d>(std::move(host), std::move(device), std::move(liveness));
}

}  // namespace sgrpo::distributed
