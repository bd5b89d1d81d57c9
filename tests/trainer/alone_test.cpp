// A run owns its folder, and trains in one process.
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

/// An environment variable for the length of a test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

TEST_F(Alone, several_processes_of_a_launcher_are_refused) {
  const std::string text =
      " is 2 in the environment: this version trains in one process, and every one of them would "
      "do the same run; start it once (no torchrun, srun -n 1), or unset ";
  {
    const Variable world("WORLD_SIZE", "abc");
    EXPECT_EQ(
        error_of({}),
        "the environment says WORLD_SIZE=abc, expected a number of processes of 1 or more, or "
        "nothing");
  }
  {
    const Variable world("WORLD_SIZE", "2");
    EXPECT_EQ(error_of({}), "WORLD_SIZE" + text + "WORLD_SIZE");
    EXPECT_EQ(error_of({}, Task::kSft), "WORLD_SIZE" + text + "WORLD_SIZE");
  }
  const Variable tasks("SLURM_STEP_NUM_TASKS", "2");
  {
    const Variable rank("SLURM_PROCID", "0");
    EXPECT_EQ(error_of({}), "SLURM_STEP_NUM_TASKS" + text + "SLURM_STEP_NUM_TASKS");
  }
  const Variable world("WORLD_SIZE", "1");
  EXPECT_NO_THROW(run("alone", {}));
}

}  // namespace
}  // namespace sgrpo::trainer
