// The parts of the page that are neither chart nor frame.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "telemetry/report/data.h"

namespace sgrpo::telemetry::report {

/// The table of final numbers: a column a run, validation first; the best score of a row is bold.
std::string summary_table(const std::vector<RunData>& runs);

/// Cards with images, prompt, ground truth, completion and verdict, grouped by run.
std::string sample_cards(const std::vector<ReportSample>& samples,
                         const std::vector<RunData>& runs);

/// The style sheet, light and dark.
std::string_view style_sheet();

}  // namespace sgrpo::telemetry::report
