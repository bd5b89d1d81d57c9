#include "policy/load_progress.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <regex>

#include "testing/scratch.h"

namespace sgrpo::policy {
namespace {

at::Tensor megabytes(const std::string& name) { return at::zeros({std::stoi(name), 250'000}); }

TEST(LoadProgress, slow_load_is_told_piece_by_piece_and_at_its_end) {
  const testing::LogCapture log;
  {
    LoadProgress progress("model", 20'000'000, 0.0);  // every piece is due
    const auto read = progress.counted(megabytes);
    EXPECT_EQ(read("5").nbytes(), 5'000'000u);
    read("10");
  }
  const std::string number = R"([0-9.]+)", speed = " s \\(([0-9.]+|inf) GB/s\\)\n";
  const std::string line = "model: 0.0[0-9] of 0.02 GB read in " + number + speed;
  EXPECT_TRUE(std::regex_match(log.text(), std::regex(line + line + line))) << log.text();
  EXPECT_NE(log.text().find("model: 0.01 of 0.02 GB"), std::string::npos) << log.text();
}

TEST(LoadProgress, quick_load_is_silent) {
  const testing::LogCapture log;
  {
    LoadProgress progress("model", 20'000'000);
    progress.counted(megabytes)("5");
  }
  EXPECT_EQ(log.text(), "");
}

}  // namespace
}  // namespace sgrpo::policy
