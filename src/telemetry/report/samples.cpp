#include <algorithm>
#include <cstdio>

#include "sgrpo/core/error.h"
#include "telemetry/report/chart.h"
#include "telemetry/report/html.h"
#include "telemetry/report/parts.h"
#include "telemetry/report/picture.h"

namespace sgrpo::telemetry::report {
namespace {

constexpr size_t kMaxPicture = size_t{3} << 20;    // bytes of one file
constexpr size_t kMaxPictures = size_t{48} << 20;  // of all data URIs: browsers must stay quick
constexpr size_t kMaxText = 4000;                  // bytes shown of one text
constexpr int kSmallPicture = 128;                 // pixels; up to here single pixels matter

std::string badge(const std::string& css, const std::string& text) {
  return "<span class=\"badge " + css + "\">" + text + "</span>";
}

/// A sign besides the colour, for those who do not tell the colours apart.
std::string status_badge(const std::string& status) {
  if (status == "correct") return badge("good", "✓ correct");
  if (status == "incorrect") return badge("bad", "✗ incorrect");
  if (status == "unparsed") return badge("odd", "? unparsed");
  return status.empty() ? "" : badge("odd", "! " + escape(status));
}

std::string signed_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%+.3f", value);
  return text;
}

std::string badges(const ReportSample& sample) {
  std::string html = "<div class=\"badges\">" + status_badge(sample.status);
  if (sample.origin == "ground_truth") {
    html += badge("injected", "ground truth, injected");
  } else if (!sample.origin.empty()) {
    html += badge("", escape(sample.origin));
  }
  html += badge("", "reward " + number(sample.reward));
  html += badge("", "advantage " + signed_number(sample.advantage));
  return html + badge("", core::str("step ", sample.step)) + "</div>";
}

std::string text_block(const char* title, const std::string& text, const char* css) {
  if (text.empty()) return "";
  const bool cut = text.size() > kMaxText;
  size_t end = cut ? kMaxText : text.size();
  while (cut && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;  // not within a character
  return core::str(
      "<dt>",
      title,
      "</dt><dd class=\"",
      css,
      "\" tabindex=\"0\">",
      escape(text.substr(0, end)),
      cut ? "<small> … cut, " + number(static_cast<double>(text.size())) + " bytes in all</small>"
          : "",
      "</dd>");
}

/// Embeds images until the page's budget is spent.
class Gallery {
 public:
  std::string show(const std::vector<ImageSource>& images) {
    std::string html;
    for (const ImageSource& image : images) html += one(image);
    return html.empty() ? "" : "<div class=\"pictures\">" + html + "</div>";
  }

 private:
  std::string one(const ImageSource& image) {
    const std::string name = escape(image.bytes ? image.name() : image.path.filename().string());
    Picture picture = load_picture(image, kMaxPicture);
    if (picture.problem.empty() && used_ + picture.data_uri.size() > kMaxPictures) {
      picture.problem = "not embedded, the page is large enough";
    }
    if (!picture.problem.empty()) {
      return "<div class=\"noimage\">" + name + "<br>" + picture.problem + "</div>";
    }
    used_ += picture.data_uri.size();
    const int longest = std::max(picture.width, picture.height);
    const bool small = longest > 0 && longest <= kSmallPicture;
    return core::str("<img",
                     small ? " class=\"pixels\"" : "",
                     " alt=\"",
                     name,
                     "\" title=\"",
                     name,
                     ", ",
                     picture.width,
                     " x ",
                     picture.height,
                     "\" src=\"",
                     picture.data_uri,
                     "\">");
  }

  size_t used_ = 0;
};

std::string card(const ReportSample& sample, Gallery& gallery) {
  return "<article>" + gallery.show(sample.images) + "<div class=\"text\">" + badges(sample) +
         "<dl>" + text_block("Prompt", sample.prompt, "prompt") +
         text_block("Completion",
                    sample.completion.empty() ? "(empty)" : sample.completion,
                    "completion") +
         text_block("Ground truth", sample.ground_truth, "truth") + "</dl></div></article>\n";
}

}  // namespace

std::string sample_cards(const std::vector<ReportSample>& samples,
                         const std::vector<RunData>& runs) {
  std::vector<std::string> names;
  for (const ReportSample& sample : samples) {
    if (std::find(names.begin(), names.end(), sample.run) == names.end()) {
      names.push_back(sample.run);
    }
  }
  Gallery gallery;
  std::string html;
  for (const std::string& name : names) {
    const auto run = std::find_if(
        runs.begin(), runs.end(), [&](const RunData& item) { return item.name == name; });
    const std::string mark =
        run == runs.end() ? "" : run_mark(static_cast<size_t>(run - runs.begin()));
    html += "<h3>" + mark + escape(name) + "</h3>\n<div class=\"cards\">\n";
    for (const ReportSample& sample : samples) {
      if (sample.run == name) html += card(sample, gallery);
    }
    html += "</div>\n";
  }
  return html;
}

}  // namespace sgrpo::telemetry::report
