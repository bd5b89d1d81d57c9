// What the metrics mean and under which heading a report shows them.
#pragma once

#include <string>
#include <vector>

namespace sgrpo::telemetry::report {

/// Headings in the order of the page.
enum class Section {
  kReward,
  kGroups,
  kValidation,
  kOptimisation,
  kLengths,
  kSampler,
  kTime,
  kData,
  kOther,
  kHidden
};

/// Where a metric belongs; kHidden for those shown in another form (phases, epoch).
Section section_of(const std::string& metric);

/// One line about a metric, "" if its name says all.
std::string meaning_of(const std::string& metric);

/// Whether larger values are better beyond doubt, so that the best run may be marked.
bool is_score(const std::string& metric);

/// Whether it is a validation metric (exact at its step: shown unsmoothed, last value counts).
bool is_validation(const std::string& metric);

/// Whether a validation metric counts rows: "val/split/n", "val/split/pass@1/n", "val/split/error".
bool is_row_count(const std::string& metric);

/// Metrics of the summary table besides the validation ones, in its order.
const std::vector<std::string>& summary_metrics();

}  // namespace sgrpo::telemetry::report
