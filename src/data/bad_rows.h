// The account of bad rows: each reported once, the run stopped when there are too many.
#pragma once

#include <cstdint>

#include "sgrpo/data/encoder.h"

namespace sgrpo::data {

/// Counts bad and dropped rows against data.max_bad_fraction.
///
/// Two shares are watched, because text is checked for all rows at start and images only when a row
/// is used: all bad rows against all rows, and bad images against the rows used so far. One bad row
/// is always tolerated unless the fraction is 0 (1 of 50 is not a broken data set), and the second
/// share is taken of at least 1000 rows or the whole set, so that an early accident stops nothing.
class BadRowAccount {
 public:
  BadRowAccount(double max_fraction, int64_t num_rows);

  /// A row whose text is bad, found at start. Reports it.
  void add_unparsed(const RecordError& error);
  /// A row that could not be encoded. Reports it.
  void add_unusable(const RecordError& error);
  /// A row whose prompt is too long: reported and counted, but not bad.
  void add_dropped(const RecordError& error);

  /// Counts a row that an earlier run of this data has reported.
  void add_known(bool is_dropped) { ++(is_dropped ? num_dropped_ : num_unusable_); }

  /// Throws core::UserError with the counts and the last bad row when a share is too large.
  void check(int64_t num_rows_used) const;

  int64_t num_rejected() const { return num_unparsed_ + num_unusable_ + num_dropped_; }

 private:
  double allowed(int64_t num_rows) const;

  double max_fraction_;
  int64_t num_rows_;
  int64_t num_unparsed_ = 0, num_unusable_ = 0, num_dropped_ = 0;
  std::string last_;
};

}  // namespace sgrpo::data
