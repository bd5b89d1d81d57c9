// A run owns its folder.
#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

using Alone = Runs;

TEST_F(Alone, second_start_on_a_folder_is_refused_and_harms_nothing) {
  const testing::LogCapture quiet;
  auto first = std::make_unique<Trainer>(config("refused", {}), Task::kPolicyGradient);
  const auto unfinished = scratch_ / "refused" / "checkpoints" / ".tmp-step-000001-1";
  std::filesystem::create_directories(unfinished);
  const std::string error = error_of({});
  EXPECT_EQ(error.find("refused is in use by another process (process "), 0U) << error;
  EXPECT_TRUE(std::filesystem::exists(unfinished)) << "a save of the first process";
  first->run();
  first.reset();
  run("refused", {"trainer.steps=2"});
  EXPECT_FALSE(std::filesystem::exists(unfinished)) << "the next owner tidies up";
}

}  // namespace
}  // namespace sgrpo::trainer
