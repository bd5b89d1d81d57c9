// A loss that goes wrong on command: -A log p (`reinforce`) until then.
#pragma once

#include <cstdint>
#include <functional>

#include <ATen/ATen.h>

namespace sgrpo::trainer {

/// What the n-th update of this process that has a gradient does with its loss, from 1; as long as
/// it lives. One micro-batch an update.
class Planted {
 public:
  using Change = std::function<at::Tensor(int64_t call, const at::Tensor& loss)>;

  explicit Planted(Change change) { change_of_all() = std::move(change), calls() = 0; }
  ~Planted() { change_of_all() = {}; }
  Planted(const Planted&) = delete;
  Planted& operator=(const Planted&) = delete;

  static at::Tensor apply(const at::Tensor& loss) {
    return change_of_all() ? change_of_all()(++calls(), loss) : loss;
  }

 private:
  static Change& change_of_all() {
    static Change change;
    return change;
  }
  static int64_t& calls() {
    static int64_t calls = 0;
    return calls;
  }
};

}  // namespace sgrpo::trainer
