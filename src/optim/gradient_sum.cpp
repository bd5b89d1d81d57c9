#include "sgrpo/optim/gradient_sum.h"

#include <ATen/ATen.h>

#include <deque>
#include <utility>

namespace sgrpo::optim {
namespace {

/// Buckets under way at a time: one is filled while the one before travels.
constexpr size_t kInFlight = 2;

at::ScalarType dtype_of_sum(const at::Tensor& parameter) {
  return parameter.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

}  // namespace

/// A bucket on its way.
struct GradientSum::Flight {
  const Bucket& bucket;
  at::Tensor flat;
  std::unique_ptr<distributed::Handle> handle;

  void land() {
    handle->wait();
    int64_t offset = 0;
    for (const at::Tensor& parameter : bucket.parameters) {
      const at::Tensor sum = flat.narrow(0, offset, parameter.numel()).view(parameter.sizes());
      offset += parameter.numel();
      at::Tensor& gradient = parameter.mutable_grad();
      if (gradient.defined())
        gradient.copy_(sum);
      else
        gradient = sum.to(parameter.scalar_type());
    }
  }
};

GradientSum::GradientSum(std::vector<at::Tensor> parameters, int64_t bucket) {
  for (size_t i = parameters.size(); i-- > 0;) {
    const at::Tensor& parameter = parameters[i];
    const bool is_full =
        buckets_.empty() || buckets_.back().numel + parameter.numel() > bucket ||
        dtype_of_sum(buckets_.back().parameters.front()) != dtype_of_sum(parameter);
    if (is_full) buckets_.emplace_back();
    buckets_.back().numel += parameter.numel();
    buckets_.back().parameters.push_back(parameter);
  }
}

std::unique_ptr<GradientSum::Flight> GradientSum::launch(
    const Bucket& bucket, distributed::Communicator& communicator) const {
  const at::Tensor& first = bucket.parameters.front();
  at::Tensor flat = at::empty({bucket.numel}, first.options().dtype(dtype_of_sum(first)));
  int64_t offset = 0;
  for (const at::Tensor& parameter : bucket.parameters) {
    at::Tensor piece = flat.narrow(0, offset, parameter.numel());
    offset += parameter.numel();
    const at::Tensor& gradient = parameter.grad();
    if (gradient.defined())
      piece.copy_(gradient.reshape({-1}));
    else
      piece.zero_();
  }
  auto handle = communicator.all_reduce(flat, distributed::Reduction::kSum);
  return std::make_unique<Flight>(Flight{bucket, flat, std::move(handle)});
}

void GradientSum::run(distributed::Communicator& communicator) const {
  if (communicator.size() == 1) return;
  const at::NoGradGuard no_grad;
  std::deque<std::unique_ptr<Flight>> flights;
  for (const Bucket& bucket : buckets_) {
    if (flights.size() == kInFlight) {
      flights.front()->land();
      flights.pop_front();
    }
    flights.push_back(launch(bucket, communicator));
  }
  for (auto& flight : flights) flight->land();
}

}  // namespace sgrpo::optim
