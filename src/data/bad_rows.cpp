#include "data/bad_rows.h"

#include <algorithm>

#include "sgrpo/core/log.h"

namespace sgrpo::data {

BadRowAccount::BadRowAccount(double max_fraction, int64_t num_rows)
    : max_fraction_(max_fraction), num_rows_(num_rows) {}

void BadRowAccount::add_unparsed(const RecordError& error) {
  ++num_unparsed_;
  last_ = error.what();
  core::warn("bad row: ", error.what());
}

void BadRowAccount::add_unusable(const RecordError& error) {
  ++num_unusable_;
  last_ = error.what();
  core::warn("bad row: ", error.what());
}

void BadRowAccount::add_dropped(const RecordError& error) {
  ++num_dropped_;
  core::warn("row left out: ", error.what());
}

double BadRowAccount::allowed(int64_t num_rows) const {
  if (max_fraction_ <= 0) return 0;
  return std::max(1.0, max_fraction_ * static_cast<double>(num_rows));
}

void BadRowAccount::check(int64_t num_rows_used) const {
  constexpr int64_t kEnoughToJudge = 1000;
  const int64_t base = std::max(num_rows_used, std::min(num_rows_, kEnoughToJudge));
  const int64_t bad = num_unparsed_ + num_unusable_;
  const bool too_many_in_all = static_cast<double>(bad) > allowed(num_rows_);
  const bool too_many_used = static_cast<double>(num_unusable_) > allowed(base);
  if (!too_many_in_all && !too_many_used) return;
  throw core::UserError(core::str(
      too_many_in_all ? bad : num_unusable_,
      " of ",
      too_many_in_all ? core::str("the ", num_rows_) : core::str("the first ", base),
      " rows are bad, more than data.max_bad_fraction = ",
      max_fraction_,
      " allows; fix them (`sgrpo lint` lists them all) or raise the fraction. The last one: ",
      last_));
}

}  // namespace sgrpo::data
