#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sgrpo/core/check.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/telemetry/telemetry.h"
#include "telemetry/event_file.h"
#include "telemetry/patient_file.h"

namespace sgrpo::telemetry {
namespace {

namespace fs = std::filesystem;

constexpr double kExactIntegers = 9007199254740992.0;  // 2^53

/// The shortest text that reads back as the same double; integers without exponent; null if not
/// finite.
std::string number_text(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  const bool integer = value == std::trunc(value) && std::abs(value) <= kExactIntegers &&
                       !(value == 0.0 && std::signbit(value));
  const auto end = integer ? std::to_chars(text, text + 32, static_cast<int64_t>(value))
                           : std::to_chars(text, text + 32, value);
  return std::string(text, end.ptr);
}

std::string metrics_line(int64_t step, const StepReport& report) {
  std::string line = core::str("{\"step\": ", step);
  for (const auto& [name, value] : report.values()) {
    if (name == "step") continue;
    line += ", " + core::dump_ascii(core::Json(name)) + ": " + number_text(value);
  }
  return line + "}\n";
}

/// The step of a line of metrics.jsonl, or nothing if a kill tore it.
std::optional<int64_t> step_of(std::string_view line, const std::string& where) {
  try {
    return core::get_int(core::parse_json(line, where), "step", where);
  } catch (const core::UserError&) {
    return std::nullopt;
  }
}

/// Rows of steps between two that are there may be lost by a power failure, or by hand.
void warn_of_gap(const std::string& path, int64_t before, int64_t after) {
  if (after <= before + 1) return;
  core::warn(path, ": the rows of steps ", before + 1, " to ", after - 1, " are missing");
}

/// The lines of `text` with steps up to `committed_step`, each step once.
std::string committed_lines(std::string_view text,
                            int64_t committed_step,
                            const std::string& path) {
  std::string kept;
  int64_t last = -1, number = 0;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const std::string_view line = text.substr(0, newline);
    const bool whole = newline != std::string_view::npos;
    text.remove_prefix(whole ? newline + 1 : text.size());
    const std::string where = core::str(path, ":", ++number);
    const auto step = step_of(line, where);
    if (!step && whole) core::warn(where, ": not a row of metrics, dropped");
    if (!step || !whole || *step > committed_step || *step <= last) continue;
    if (last >= 0) warn_of_gap(path, last, *step);
    last = *step;
    kept.append(line).append("\n");
  }
  warn_of_gap(path,
              std::max<int64_t>(last, 0),
              committed_step);  // the row of that step itself is in the checkpoint
  return kept;
}

/// Prepares metrics.jsonl for appending after `committed_step`.
void cut_back(const fs::path& path, int64_t committed_step) {
  if (committed_step < 0) {
    core::write_file_atomic(path, "");
    return;
  }
  if (!fs::exists(path)) {
    core::warn(path.string(), " is missing: the rows before step ", committed_step, " are lost");
    return;
  }
  const std::string text = core::read_file(path);
  const std::string kept = committed_lines(text, committed_step, path.string());
  if (kept != text) core::write_file_atomic(path, kept);
}

void remove_event_files(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (is_event_file(entry.path().filename().string())) fs::remove(entry.path());
  }
}

}  // namespace

struct MetricsWriter::Impl {
  Impl(const fs::path& folder, int64_t committed_step)
      : metrics(folder / "metrics.jsonl"),
        events(folder, committed_step < 0 ? -1 : committed_step + 1) {}
  PatientFile metrics;
  EventFile events;
};

MetricsWriter::MetricsWriter(const fs::path& folder, int64_t committed_step) {
  fs::create_directories(folder);
  cut_back(folder / "metrics.jsonl", committed_step);
  if (committed_step < 0) remove_event_files(folder);
  impl_ = std::make_unique<Impl>(folder, committed_step);
}

MetricsWriter::~MetricsWriter() = default;

void MetricsWriter::write(int64_t step, const StepReport& report) {
  SGRPO_CHECK(step >= 0, "MetricsWriter: step is ", step, ", expected >= 0");
  impl_->metrics.append(metrics_line(step, report));
  impl_->events.write(step, report.values());
}

void MetricsWriter::sync() { impl_->metrics.sync(); }

}  // namespace sgrpo::telemetry
