// Which row every position of the training stream takes: a pure function of seed and position.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
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

/// One list: its rows, its (positive) share among the lists of a step, and the steps that draw from
/// it, both inclusive.
struct StreamList {
  int64_t rows = 0;
  double weight = 1.0;
  int64_t from_step = 1;
  int64_t until_step = std::numeric_limits<int64_t>::max();

  bool has_limits() const {
    return from_step > 1 || until_step < std::numeric_limits<int64_t>::max();
  }
  bool is_active(int64_t step) const { return from_step <= step && step <= until_step; }
};

/// Rows of one or several weighted lists. Where lists have their steps, a position's row depends on
/// how many were drawn from each list before it. Not thread-safe.
class StreamOrder {
 public:
  /// `step_of` names the step that a position belongs to; it is asked where lists have limits.
  StreamOrder(uint64_t seed,
              bool shuffle,
              std::vector<StreamList> lists,
              std::function<int64_t(int64_t)> step_of = {});

  /// The slots of positions [first, first + count).
  std::vector<StreamSlot> slots(int64_t first, int64_t count);

  /// Whether some list has limits.
  bool has_limits() const { return has_limits_; }
  /// Whether a step has anything to draw from.
  bool is_active(int64_t step) const;
  /// Draws from each list before `position`.
  std::vector<int64_t> drawn(int64_t position);
  /// Takes `drawn` as given: no earlier position is asked for.
  void begin_at(int64_t position, std::vector<int64_t> drawn);
  /// A list's rows in the order of its first epoch.
  std::shared_ptr<const std::vector<int64_t>> first_epoch(size_t list) { return order_of(list, 0); }

 private:
  /// What was drawn from each list before a position.
  struct Cursor {
    int64_t position = 0;
    std::vector<int64_t> drawn;
  };

  size_t draw_list(int64_t position);
  void use_lists_of(int64_t step);
  void seek(int64_t position);
  std::shared_ptr<const std::vector<int64_t>> order_of(size_t list, int64_t epoch);

  struct Epoch {
    int64_t number = -1;
    std::shared_ptr<const std::vector<int64_t>> order;
  };

  uint64_t seed_;
  bool shuffle_;
  std::vector<StreamList> lists_;
  std::function<int64_t(int64_t)> step_of_;
  bool has_limits_;
  std::vector<bool> is_active_;  // lists that `upper_` is of
  std::vector<double> upper_;    // cumulated weights, the last is 1
  Cursor cursor_;
  Cursor base_;                 // the earliest that is known
  Cursor last_;                 // where the last call of slots() began
  std::vector<Epoch> current_;  // per list, the last epoch asked for
};

}  // namespace sgrpo::data
