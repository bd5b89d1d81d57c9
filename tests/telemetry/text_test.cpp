// Widths, durations, progress texts and the completions table.
#include <gtest/gtest.h>

#include "sgrpo/telemetry/telemetry.h"
#include "telemetry/progress_text.h"
#include "telemetry/width.h"

namespace sgrpo::telemetry {
namespace {

TEST(Width, counts_wide_and_combining_characters) {
  EXPECT_EQ(display_width("boot"), 4u);
  EXPECT_EQ(display_width("靴子"), 4u);
  EXPECT_EQ(display_width("e\xCC\x81t\xC3\xA9"), 3u);  // e + combining acute, t, precomposed e
  EXPECT_EQ(display_width("\xF0\x9F\x91\x9F"), 2u);    // emoji
  EXPECT_EQ(display_width("\xFF"), 1u);                // ill-formed: one replacement character
}

TEST(Width, cut_never_splits_a_wide_character) {
  EXPECT_EQ(cut_to_width("boot", 4), "boot");
  EXPECT_EQ(cut_to_width("boots", 4), "boo…");
  EXPECT_EQ(cut_to_width("靴子店", 4), "靴…");
  EXPECT_EQ(fit_to_width("靴子店", 4), "靴… ");
  EXPECT_EQ(fit_to_width("1.5", 6, true), "   1.5");
}

TEST(ProgressText, duration_has_the_parts_that_matter) {
  EXPECT_EQ(duration_text(7.4), "0:07");
  EXPECT_EQ(duration_text(754.0), "12:34");
  EXPECT_EQ(duration_text(3723.0), "1:02:03");
  EXPECT_EQ(duration_text(2 * 86400.0 + 11045.0), "2d 03:04:05");
  EXPECT_EQ(duration_text(1.0 / 0.0), "?");
}

TEST(ProgressText, line_estimates_from_what_this_process_did) {
  ProgressState state{.label = "train", .note = "reward 0.41", .total = 100, .done = 40};
  state.elapsed = 62.0;
  EXPECT_EQ(progress_line(state), "train  40% (40/100)  1:02 elapsed, 1:33 left  reward 0.41");
  state.first = 30;  // resumed at 30: 6.2 s each, not 1.55
  EXPECT_EQ(progress_line(state), "train  40% (40/100)  1:02 elapsed, 6:12 left  reward 0.41");
  state.first = 40;
  state.note = "";
  EXPECT_EQ(progress_line(state), "train  40% (40/100)  1:02 elapsed");
}

TEST(ProgressText, line_without_total_counts) {
  ProgressState state{.label = "load", .note = "", .total = 0, .done = 12};
  state.elapsed = 3.0;
  EXPECT_EQ(progress_line(state), "load  12  0:03 elapsed");
  EXPECT_EQ(progress_summary(state), "load: 12 in 0:03");
}

TEST(ProgressText, summary_tells_done_from_stopped) {
  ProgressState state{.label = "eval val", .note = "", .total = 8, .done = 8};
  state.elapsed = 65.0;
  EXPECT_EQ(progress_summary(state), "eval val: 8 of 8 in 1:05");
  state.done = 3;
  EXPECT_EQ(progress_summary(state), "eval val: stopped at 3 of 8 after 1:05");
}

TEST(ProgressText, bar_fits_every_width) {
  ProgressState state{.label = "train", .note = "reward 0.41", .total = 8, .done = 4};
  state.elapsed = 8.0;
  EXPECT_EQ(progress_bar(state, 65, false),
            "train  50% #######....... 4/8  0:08 < 0:08  2 s each  reward 0.41");
  EXPECT_EQ(progress_bar(state, 20, false), "train  50%  4/8  0:…");
  for (size_t columns = 1; columns < 120; ++columns) {
    EXPECT_LE(display_width(progress_bar(state, columns, true)), columns);
  }
}

core::Json row(const std::string& completion, double reward) {
  return core::Json{{"prompt_id", "fm-7"},
                    {"completion", completion},
                    {"reward", reward},
                    {"status", "correct"},
                    {"origin", "sampled"},
                    {"advantage", -0.5}};
}

TEST(CompletionsTable, aligns_columns_and_counts_the_rest) {
  core::Json first = row("an ankle boot", 1.0);
  first["prompt"] = core::Json::parse(
      R"([{"role":"user","content":[{"type":"text","text":"What is it?"},{"type":"image"}]}])");
  const std::string table = completions_table({first, row("靴\n", 0.0), row("x", 0.0)}, 2);
  EXPECT_EQ(table,
            "prompt       completion     reward  status   origin   advantage\n"
            "-----------  -------------  ------  -------  -------  ---------\n"
            "What is it?  an ankle boot   1.000  correct  sampled     -0.500\n"
            "fm-7         靴\\n            0.000  correct  sampled     -0.500\n"
            "... and 1 more\n");
}

TEST(CompletionsTable, long_texts_are_cut_to_the_width) {
  ::setenv("COLUMNS", "70", 1);
  const std::string table = completions_table({row(std::string(300, 'a'), 1.0)});
  ::unsetenv("COLUMNS");
  EXPECT_NE(table.find("aaa…"), std::string::npos) << table;
  for (size_t begin = 0; begin < table.size();) {
    const size_t end = table.find('\n', begin);
    EXPECT_LE(display_width(table.substr(begin, end - begin)), 69u) << table;
    begin = end + 1;
  }
}

}  // namespace
}  // namespace sgrpo::telemetry
