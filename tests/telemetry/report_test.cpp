// The HTML report and its parts.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "sgrpo/telemetry/telemetry.h"
#include "telemetry/report/axis.h"
#include "telemetry/report/catalog.h"
#include "telemetry/report/data.h"
#include "telemetry/report/html.h"
#include "telemetry/report/picture.h"
#include "testing/scratch.h"

namespace sgrpo::telemetry {
namespace {

using report::Series;

// 1 x 1 pixels, as other programs write them.
const std::string kPng =
    std::string("\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\x1C\0\0\0\x0E", 24) + "rest";
const std::string kBmp = std::string("BM\0\0\0\0\0\0\0\0\0\0\0\0(\0\0\0\x20\0\0\0\x10\0\0\0", 26);
const std::string kJpeg =
    std::string("\xFF\xD8\xFF\xE0\0\x04JF\xFF\xC0\0\x11\x08\0\x40\0\x30\x03\x01\x22\0\x02", 22);
const std::string kWebp = std::string("RIFF\0\0\0\0WEBPVP8X\x0A\0\0\0\0\0\0\0\x7F\0\0\x3F\0\0", 30);

class ReportTest : public ::testing::Test {
 protected:
  /// A run of `steps` steps with the metrics that have charts of their own.
  ReportRun make_run(const std::string& name, int steps) {
    const auto path = folder.path() / name;
    MetricsWriter writer(path);
    for (int step = 1; step <= steps; ++step) {
      StepReport row;
      row.set("reward", step / 100.0);
      row.set("group/frac_all_fail", 0.5);
      row.set("group/frac_mixed", 0.25);
      row.set("group/frac_all_pass", 0.25);
      row.set("cgi/injected_frac", 0.5);
      row.set("clip_ratio/low_mean", 0.0);
      row.set("kl", step == 2 ? std::nan("") : 0.1 * step);
      row.set("custom/thing", step * 2.0);
      row.set("timing_s/generate", 0.75);
      row.set("timing_s/update", 0.2);
      row.set("step_time", 1.0);
      row.set("retention/reward", step * 0.01);
      if (step % 5 == 0) {
        row.set("val/target/pass@1", step == 10 ? 0.9 : 0.4);
        row.set("val/target/n", 500.0);
        row.set("val/target/error", step == 10 ? 3.0 : 0.0);
        row.set("val/target/timeout", 0.0);
      }
      writer.write(step, row);
    }
    return {name, path};
  }

  std::string html(const std::vector<ReportRun>& runs, const std::vector<ReportSample>& samples) {
    const auto output = folder.path() / "out" / "report.html";
    write_report(output, "Title & <b>more</b>", runs, samples);
    return core::read_file(output);
  }

  testing::Scratch folder;
};

size_t count(const std::string& text, const std::string& piece) {
  size_t found = 0;
  for (size_t at = 0; (at = text.find(piece, at)) != std::string::npos; ++at) ++found;
  return found;
}

TEST_F(ReportTest, page_refers_to_nothing_outside) {
  core::write_file_atomic(folder.path() / "a.png", kPng);
  ReportSample sample;
  sample.run = "one";
  sample.images = {{.path = folder.path() / "a.png"}};
  const std::string page = html({make_run("one", 60)}, {sample});
  for (const char* piece : {"http:", "https:", "<script", "<link", "@import", "url(", "src=\"/"}) {
    EXPECT_EQ(count(page, piece), 0u) << piece;
  }
  EXPECT_EQ(count(page, "src=\"data:image/png;base64,"), 1u);
  EXPECT_EQ(count(page, folder.path().string()), 0u) << "a path of this machine in the page";
}

TEST_F(ReportTest, page_escapes_every_text) {
  const std::string evil = "<script>alert('x')</script> & \"q\" \x01\xFF";
  const std::string escaped =
      "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;q&quot; "
      "\xEF\xBF\xBD\xEF\xBF\xBD";
  ReportRun run = make_run("one", 3);
  run.name = evil;
  ReportSample sample;
  sample.run = sample.prompt = sample.ground_truth = sample.completion = sample.status = evil;
  sample.origin = evil;
  sample.images = {{.path = evil}};
  const std::string page = html({run}, {sample});
  EXPECT_EQ(count(page, "<script"), 0u);
  EXPECT_NE(page.find("<title>Title &amp; &lt;b&gt;more&lt;/b&gt;</title>"), std::string::npos);
  EXPECT_NE(page.find(">" + escaped + "</dd>"), std::string::npos);
  EXPECT_NE(page.find("script&gt; &amp; &quot;q&quot;"), std::string::npos);
}

TEST_F(ReportTest, charts_tables_and_bars_are_there) {
  const std::string page = html({make_run("one", 60), make_run("two", 30)}, {});
  for (const char* metric : {"reward", "kl", "val/target/pass@1", "custom/thing"}) {
    EXPECT_EQ(count(page, "<figcaption><b>" + std::string(metric) + "</b>"), 1u) << metric;
  }
  EXPECT_EQ(count(page, "class=\"area fail\""), 2u);
  EXPECT_EQ(count(page, "class=\"injected\""), 2u);
  EXPECT_NE(page.find("The same throughout: <code>cgi/injected_frac</code> = 0.500"),
            std::string::npos);
  EXPECT_NE(page.find("title=\"generate: 0.750 s, 75 %\">generate 75 %</span>"), std::string::npos);
  EXPECT_NE(page.find("title=\"outside of all phases: 0.0500 s, 5 %\""), std::string::npos);
  // Last validation with the earlier best; reward as the mean of steps 58..60 and of step 30.
  EXPECT_NE(page.find("<code>val/target/pass@1</code></td><td class=\"num best\">0.400</td>"
                      "<td class=\"peak\">0.900 at 10</td>"),
            std::string::npos);
  EXPECT_NE(page.find("<code>reward</code></td><td class=\"num best\">0.590</td><td class=\"peak\">"
                      "</td><td class=\"num\">0.300</td>"),
            std::string::npos);
  EXPECT_EQ(count(page, "<svg"), count(page, "</svg>"));
  EXPECT_EQ(count(page, "<div"), count(page, "</div>"));
  EXPECT_EQ(count(page, "<td"), count(page, "</td>"));
  EXPECT_EQ(count(page, "nan"), 0u);
}

TEST_F(ReportTest, failures_of_verifiers_have_a_row_only_where_there_were_some) {
  const std::string page = html({make_run("a", 20)}, {});
  const std::string table = page.substr(page.find("class=\"summary\""));
  const std::string rows = table.substr(0, table.find("</table>"));
  EXPECT_NE(rows.find("val/target/n"), std::string::npos);
  EXPECT_NE(rows.find("val/target/error"), std::string::npos);
  EXPECT_EQ(rows.find("val/target/timeout"), std::string::npos);
  EXPECT_NE(page.find("<code>val/target/timeout</code> = 0"), std::string::npos)
      << "told once, without a chart";
}

TEST_F(ReportTest, missing_image_is_told_not_fatal) {
  ReportSample sample;
  sample.run = "one";
  sample.prompt = "p";
  sample.images = {{.path = folder.path() / "gone.png"}};
  const std::string page = html({make_run("one", 1)}, {sample});
  EXPECT_NE(page.find("<div class=\"noimage\">gone.png<br>missing</div>"), std::string::npos);
  EXPECT_NE(page.find(">(empty)</dd>"), std::string::npos);
}

TEST_F(ReportTest, run_without_metrics_is_named) {
  try {
    html({{"lost", folder.path() / "lost"}}, {});
    FAIL() << "no error";
  } catch (const core::UserError& error) {
    EXPECT_EQ(std::string(error.what()),
              "report: run 'lost': no metrics.jsonl in " + (folder.path() / "lost").string() +
                  ", expected the output folder of a training run");
  }
}

TEST_F(ReportTest, empty_run_and_torn_line_give_a_page) {
  const auto path = folder.path() / "empty";
  std::filesystem::create_directories(path);
  core::write_file_atomic(path / "metrics.jsonl", "{\"step\": 1, \"rew");
  EXPECT_NE(html({{"empty", path}}, {}).find("<h1>"), std::string::npos);
}

TEST(ReportHtml, numbers_for_reading) {
  const std::vector<std::pair<double, std::string>> cases = {{0.0, "0"},
                                                             {1.0, "1"},
                                                             {0.8125, "0.812"},
                                                             {-0.25, "-0.250"},
                                                             {0.0042, "0.0042"},
                                                             {12.345, "12.3"},
                                                             {12345.6, "12,346"},
                                                             {-1234567.0, "-1,234,567"},
                                                             {1.2e-5, "1.20e-5"},
                                                             {2e10, "2.00e10"},
                                                             {std::nan(""), "–"}};
  for (const auto& [value, text] : cases) EXPECT_EQ(report::number(value), text);
}

TEST(ReportHtml, base64_of_rfc_4648) {
  const std::vector<std::pair<std::string, std::string>> cases = {{"", ""},
                                                                  {"f", "Zg=="},
                                                                  {"fo", "Zm8="},
                                                                  {"foo", "Zm9v"},
                                                                  {"foob", "Zm9vYg=="},
                                                                  {"fooba", "Zm9vYmE="},
                                                                  {"foobar", "Zm9vYmFy"},
                                                                  {"\xFF\xFE\xFD", "//79"}};
  for (const auto& [bytes, text] : cases) EXPECT_EQ(report::base64(bytes), text);
}

TEST(ReportAxis, ticks_are_round) {
  const report::Axis share = report::round_axis(0.03, 0.97, 4);
  EXPECT_EQ(share.labels, (std::vector<std::string>{"0", "0.25", "0.50", "0.75", "1.00"}));
  EXPECT_EQ(report::round_axis(2.27, 2.58, 4).labels,
            (std::vector<std::string>{"2.2", "2.3", "2.4", "2.5", "2.6"}));
  EXPECT_EQ(report::round_axis(0.0, 1e-4, 4).labels,
            (std::vector<std::string>{"0", "2.5e-5", "5e-5", "7.5e-5", "1e-4"}));
  EXPECT_EQ(report::fitted_axis(0, 300, 5).labels,
            (std::vector<std::string>{"0", "100", "200", "300"}));
  const report::Axis flat = report::round_axis(0.0, 0.0, 4);
  EXPECT_LT(flat.low, flat.high);
}

TEST(ReportData, smoothing_keeps_steps_and_means) {
  Series series;
  for (int i = 0; i < 100; ++i) {
    series.steps.push_back(i);
    series.values.push_back(i % 2);
  }
  EXPECT_EQ(report::smoothing_window(39), 1u);
  EXPECT_EQ(report::smoothing_window(100), 5u);
  const Series smooth = report::smoothed(series, 5);
  EXPECT_EQ(smooth.steps, series.steps);
  EXPECT_DOUBLE_EQ(smooth.values[50], 0.4);        // 0 1 0 1 0
  EXPECT_DOUBLE_EQ(smooth.values[0], 1.0 / 3.0);   // 0 1 0
  EXPECT_DOUBLE_EQ(smooth.values[99], 2.0 / 3.0);  // 1 0 1
}

TEST(ReportData, thinning_keeps_spikes) {
  Series series;
  for (int i = 0; i < 10000; ++i) {
    series.steps.push_back(i);
    series.values.push_back(i == 7777 ? 50.0 : 1.0);
  }
  const Series thin = report::thinned(series, 100);
  EXPECT_LE(thin.values.size(), 100u);
  EXPECT_EQ(*std::max_element(thin.values.begin(), thin.values.end()), 50.0);
  EXPECT_TRUE(std::is_sorted(thin.steps.begin(), thin.steps.end()));
}

TEST(ReportCatalog, counts_of_rows_are_no_scores) {
  for (const char* name : {"val/v/n", "val/v/pass@1/n", "val/v/error", "val/v/timeout"}) {
    EXPECT_TRUE(report::is_row_count(name)) << name;
    EXPECT_FALSE(report::is_score(name)) << name;
  }
  for (const char* name : {"val/v/pass@1", "val/v/easy/pass@1", "val/v/macro"}) {
    EXPECT_FALSE(report::is_row_count(name)) << name;
    EXPECT_TRUE(report::is_score(name)) << name;
  }
  EXPECT_FALSE(report::is_row_count("verifier/error"));
  EXPECT_EQ(report::section_of("val/v/pass@1/n"), report::Section::kHidden);
  EXPECT_EQ(report::section_of("val/v/error"), report::Section::kData);
  EXPECT_EQ(report::section_of("retention/reward"), report::Section::kReward);
  EXPECT_EQ(report::section_of("rollout/dropped"), report::Section::kGroups);
}

TEST(ReportPicture, tells_type_and_size_by_the_first_bytes) {
  const testing::Scratch folder;
  struct Case {
    std::string bytes, type;
    int width, height;
  };
  for (const Case& item : {Case{kPng, "png", 28, 14},
                           Case{kBmp, "bmp", 32, 16},
                           Case{kJpeg, "jpeg", 48, 64},
                           Case{kWebp, "webp", 128, 64}}) {
    const auto path = folder.path() / "picture";
    core::write_file_atomic(path, item.bytes);
    const report::Picture picture = report::load_picture({.path = path}, 1000);
    EXPECT_EQ(picture.data_uri.substr(0, 18 + item.type.size() + 1)
                  .find("data:image/" + item.type + ";base64,"),
              0u)
        << picture.data_uri;
    EXPECT_EQ(picture.width, item.width) << item.type;
    EXPECT_EQ(picture.height, item.height) << item.type;
    EXPECT_EQ(report::load_picture({.path = path}, 10).problem, "0.0 MB, too large to embed");
  }
  core::write_file_atomic(folder.path() / "text", "hello");
  EXPECT_EQ(report::load_picture({.path = folder.path() / "text"}, 10).problem,
            "not a PNG, JPEG, WebP or BMP");
}

}  // namespace
}  // namespace sgrpo::telemetry
