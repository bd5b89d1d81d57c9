// The page: headings, legends and the order of things.
#include <algorithm>
#include <array>

#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "telemetry/report/catalog.h"
#include "telemetry/report/chart.h"
#include "telemetry/report/html.h"
#include "telemetry/report/parts.h"

namespace sgrpo::telemetry {
namespace report {
namespace {

struct Heading {
  Section section;
  const char* title;
};

constexpr std::array<Heading, 9> kHeadings = {{{Section::kValidation, "Validation"},
                                               {Section::kReward, "Reward"},
                                               {Section::kGroups, "Groups and injection"},
                                               {Section::kOptimisation, "Optimisation"},
                                               {Section::kLengths, "Lengths"},
                                               {Section::kSampler, "Sampler against trainer"},
                                               {Section::kTime, "Time and memory"},
                                               {Section::kData, "Data and verifier"},
                                               {Section::kOther, "Further metrics"}}};

struct Chapter {
  std::string title, html;
};

std::string chapter(const std::string& title, const std::string& html) {
  return "<section id=\"" + anchor(title) + "\"><h2>" + escape(title) + "</h2>\n" + html +
         "</section>\n";
}

/// Whether every value of every run is the same number; `value` receives it.
bool is_constant(const std::vector<RunData>& runs, const std::string& metric, double& value) {
  bool first = true;
  for (const RunData& run : runs) {
    for (const double item : run.get(metric).values) {
      if (first) value = item;
      if (item != value) return false;
      first = false;
    }
  }
  return !first;
}

/// Charts of one section; metrics that never move get a line of text instead of an empty frame.
std::string charts(const std::vector<RunData>& runs, Section section) {
  std::string figures, constants;
  for (const std::string& name : metric_names(runs)) {
    if (section_of(name) != section) continue;
    double value = 0.0;
    if (is_constant(runs, name, value) && (!is_validation(name) || is_row_count(name))) {
      constants += core::str(
          constants.empty() ? "" : ", ", "<code>", escape(name), "</code> = ", number(value));
      continue;
    }
    std::vector<Line> lines;
    for (size_t r = 0; r < runs.size(); ++r) {
      lines.push_back({.name = runs[r].name, .slot = r, .series = &runs[r].get(name)});
    }
    figures += line_chart(name, meaning_of(name), lines);
  }
  std::string html;
  if (!figures.empty()) html += "<div class=\"grid\">\n" + figures + "</div>\n";
  if (!constants.empty()) html += "<p class=\"note\">The same throughout: " + constants + "</p>\n";
  return html;
}

std::string group_charts(const std::vector<RunData>& runs) {
  std::string figures;
  for (size_t r = 0; r < runs.size(); ++r) figures += group_chart(runs[r], r);
  if (figures.empty()) return "";
  return "<p class=\"legend\"><span><i class=\"mark fail\"></i>all fail</span>"
         "<span><i class=\"mark mixed\"></i>mixed</span>"
         "<span><i class=\"mark pass\"></i>all pass</span>"
         "<span><i class=\"mark dash\"></i>injected</span></p>\n"
         "<div class=\"grid\">\n" +
         figures + "</div>\n";
}

std::string section_html(const std::vector<RunData>& runs, Section section) {
  if (section == Section::kGroups) return group_charts(runs) + charts(runs, section);
  if (section == Section::kTime) return time_bars(runs) + charts(runs, section);
  return charts(runs, section);
}

std::vector<Chapter> chapters(const std::vector<RunData>& runs,
                              const std::vector<ReportSample>& samples) {
  std::vector<Chapter> result;
  const auto add = [&](const char* title, std::string html) {
    if (!html.empty()) result.push_back({title, std::move(html)});
  };
  add("Final numbers", summary_table(runs));
  for (const Heading& heading : kHeadings) {
    add(heading.title, section_html(runs, heading.section));
  }
  add("Samples", sample_cards(samples, runs));
  return result;
}

std::string header(const std::string& title,
                   const std::vector<RunData>& runs,
                   const std::vector<Chapter>& parts) {
  std::string html = "<header><h1>" + escape(title) + "</h1>\n<nav>";
  for (const Chapter& part : parts) {
    html += "<a href=\"#" + anchor(part.title) + "\">" + escape(part.title) + "</a>";
  }
  html += "</nav></header>\n<p class=\"legend runs\">";
  for (size_t r = 0; r < runs.size(); ++r) {
    html += "<span>" + run_mark(r) + escape(runs[r].name) + "</span>";
  }
  return html + "</p>\n";
}

std::string page(const std::string& title,
                 const std::vector<RunData>& runs,
                 const std::vector<ReportSample>& samples) {
  const std::vector<Chapter> parts = chapters(runs, samples);
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>" +
      escape(title) + "</title>\n<style>\n" + std::string(style_sheet()) +
      "</style></head>\n<body>\n" + header(title, runs, parts) + "<main>\n";
  for (const Chapter& part : parts) html += chapter(part.title, part.html);
  return html +
         "</main>\n<footer>Thick lines are moving averages over a twentieth of the steps, thin "
         "ones single steps (the outermost 1 % may leave the frame); the number at the right edge "
         "is the end of the thick line. Point at a chart for values.</footer>\n</body></html>\n";
}

}  // namespace
}  // namespace report

void write_report(const std::filesystem::path& output,
                  const std::string& title,
                  const std::vector<ReportRun>& runs,
                  const std::vector<ReportSample>& samples) {
  std::vector<report::RunData> data;
  for (const ReportRun& run : runs) data.push_back(report::load_run(run));
  if (output.has_parent_path()) std::filesystem::create_directories(output.parent_path());
  core::write_file_atomic(output, report::page(title, data, samples));
}

}  // namespace sgrpo::telemetry
