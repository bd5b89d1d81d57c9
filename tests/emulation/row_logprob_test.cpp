// The kernels of CUDA for rows of logits, emulated, against the CPU's.
#include "kernels/row_logprob/row_logprob_cuda.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <vector>

#include "emulation/emulated.h"

namespace sgrpo::kernels {
namespace {

using sgrpo::testing::DeviceArray;
using sgrpo::testing::emulate;
using sgrpo::testing::expect_near;
using sgrpo::testing::in_every_schedule;
using sgrpo::testing::measure;
using sgrpo::testing::numbers;
using sgrpo::testing::Schedule;
using sgrpo::testing::sees_accesses;
using sgrpo::testing::Traffic;

struct Problem {
  std::vector<float> logits;
  std::vector<int64_t> labels;
  std::vector<float> grad_logprobs;
  std::optional<std::vector<float>> grad_entropy;

  int64_t num_rows() const { return static_cast<int64_t>(labels.size()); }
};

struct Results {
  std::vector<float> logprobs, entropy, lse, grad;
  bool operator==(const Results&) const = default;
};

Problem problem_of(int64_t vocab, bool has_entropy) {
  Problem p{.logits = numbers<float>(3 * vocab, 7),
            .labels = {0, vocab - 1, vocab / 2},
            .grad_logprobs = numbers<float>(3, 8),
            .grad_entropy = std::nullopt};
  if (vocab > 1) p.logits[static_cast<size_t>(vocab)] = -INFINITY;  // a masked entry of row 1
  if (has_entropy) p.grad_entropy = numbers<float>(3, 9);
  return p;
}

RowLogprobParams params_of(const Problem& p,
                           const float* logits,
                           const int64_t* labels,
                           float* logprobs,
                           float* entropy,
                           float* lse) {
  return {.logits = logits,
          .labels = labels,
          .num_rows = p.num_rows(),
          .vocab = static_cast<int64_t>(p.logits.size()) / p.num_rows(),
          .inverse_temperature = 1.25f,
          .logprobs = logprobs,
          .entropy = entropy,
          .lse = lse};
}

/// Device memory of one problem; the gradient takes the logits' place, as in a training step.
struct Device {
  DeviceArray<float> logits, logprobs, entropy, lse, grad_logprobs, grad_entropy;
  DeviceArray<int64_t> labels;

  explicit Device(const Problem& p)
      : logits(p.logits),
        logprobs(p.labels.size(), -99.0f),
        entropy(p.labels.size(), -99.0f),
        lse(p.labels.size(), -99.0f),
        grad_logprobs(p.grad_logprobs),
        grad_entropy(p.grad_entropy.value_or(std::vector<float>())),
        labels(p.labels) {}

  RowLogprobParams params(const Problem& p) const {
    return params_of(p, logits.data(), labels.data(), logprobs.data(), entropy.data(), lse.data());
  }
  void forward(const Problem& p) const {
    EXPECT_EQ(row_logprob_forward_cuda(params(p), nullptr), cudaSuccess);
  }
  void backward(const Problem& p) const {
    const float* by_entropy = p.grad_entropy ? grad_entropy.data() : nullptr;
    EXPECT_EQ(row_logprob_backward_cuda(
                  params(p), grad_logprobs.data(), by_entropy, logits.data(), nullptr),
              cudaSuccess);
  }
};

Results on_device(const Problem& p, Schedule schedule) {
  const Device device(p);
  emulate(schedule, [&] {
    device.forward(p);
    device.backward(p);
  });
  return {device.logprobs.values(),
          device.entropy.values(),
          device.lse.values(),
          device.logits.values()};
}

Results on_cpu(const Problem& p) {
  const std::vector<float> none(p.labels.size());
  Results r{none, none, none, std::vector<float>(p.logits.size())};
  const RowLogprobParams params = params_of(
      p, p.logits.data(), p.labels.data(), r.logprobs.data(), r.entropy.data(), r.lse.data());
  row_logprob_forward_cpu(params, 0, p.num_rows());
  row_logprob_backward_cpu(params,
                           p.grad_logprobs.data(),
                           p.grad_entropy ? p.grad_entropy->data() : nullptr,
                           r.grad.data(),
                           0,
                           p.num_rows());
  return r;
}

// Sums of up to 1,024 exponentials in f32 lanes, their logarithms below 10: a few ulp of 8.
TEST(RowLogprob, matches_the_cpu) {
  for (const int64_t vocab : {1, 31, 32, 33, 1000, 1025, 3000}) {
    for (const bool has_entropy : {false, true}) {
      const Problem problem = problem_of(vocab, has_entropy);
      const Results got =
          in_every_schedule([&](Schedule schedule) { return on_device(problem, schedule); });
      const Results expected = on_cpu(problem);
      expect_near(got.logprobs, expected.logprobs, 2e-6, "logprobs");
      expect_near(got.entropy, expected.entropy, 4e-6, "entropy");
      expect_near(got.lse, expected.lse, 2e-6, "lse");
      expect_near(got.grad, expected.grad, 4e-6, "grad");
    }
  }
}

// The header's figures: logits twice forward; read and written once backward.
TEST(RowLogprob, moves_the_logits_twice_forward_and_once_each_way_backward) {
  if (!sees_accesses()) GTEST_SKIP() << "this build does not look at accesses";
  const Problem problem = problem_of(4096, true);
  const Device device(problem);
  const Traffic forward = measure([&] { device.forward(problem); });
  const Traffic backward = measure([&] { device.backward(problem); });
  const double logits = 3.0 * 4096 * 4;
  for (const Traffic& traffic : {forward, backward}) {
    EXPECT_LE(static_cast<double>(traffic.bytes()), 1.2 * 2 * logits);
    EXPECT_LE(static_cast<double>(traffic.sector_bytes()), 1.2 * 2 * logits);
  }
}

}  // namespace
}  // namespace sgrpo::kernels
