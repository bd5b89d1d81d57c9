// Which row every position of the training stream takes: a pure function of seed and position.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace sgrpo::data {

/// One position: row `(*order)[index]` of list `list`; the rows behind it in `order` (wrapping
/// around) are its substitutes.
struct StreamSlot {
  size_t list = 0;
  int64_t index = 0;
  std::shared_ptr<const std::vector<int64_t>> order;
};

/// Rows of one or several weighted lists. Not thread-safe.
class StreamOrder {
 public:
  /// `sizes` are the lists' rows, `weights` their (positive) shares.
  StreamOrder(uint64_t seed,
              bool shuffle,
              std::vector<int64_t> sizes,
              const std::vector<double>& weights);

  /// The slots of positions [first, first + count).
  std::vector<StreamSlot> slots(int64_t first, int64_t count);

 private:
  size_t draw_list(int64_t position) const;
  void seek(int64_t position);
  std::shared_ptr<const std::vector<int64_t>> order_of(size_t list, int64_t epoch);

  struct Epoch {
    int64_t number = -1;
    std::shared_ptr<const std::vector<int64_t>> order;
  };

  uint64_t seed_;
  bool shuffle_;
  std::vector<int64_t> sizes_;
  std::vector<double> upper_;   // cumulated weights, the last is 1
  int64_t position_ = 0;        // `taken_` counts the draws of positions before this one
  std::vector<int64_t> taken_;  // per list
  std::vector<Epoch> current_;  // per list, the last epoch asked for
};

}  // namespace sgrpo::data
