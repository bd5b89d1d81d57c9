#include "sgrpo/distributed/environment.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "sgrpo/core/error.h"
#include "sgrpo/distributed/connect.h"

namespace sgrpo::distributed {
namespace {

class Variables : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"RANK",
                             "WORLD_SIZE",

                             "LOCAL_WORLD_SIZE",
                             "MASTER_ADDR",
                             "MASTER_PORT",
                             "SLURM_PROCID",
                             "SLURM_STEP_NUM_TASKS",

                             "SLURM_NODEID",
                             "SLURM_STEP_TASKS_PER_NODE",
                             "SLURM_LAUNCH_NODE_IPADDR",
                             "SLURM_JOB_ID",
                             "SLURM_NTASKS",
                             "SGRPO_RUN_TOKEN"}) {
      ::unsetenv(name);
    }
  }
  void TearDown() override { SetUp(); }
  static void set(const char* name, const char* value) { ::setenv(name, value, 1); }
  static std::string error() {
    try {
      read_environment();
    } catch (const core::UserError& error) {
      return error.what();
    }
    return "no error";
  }
};

TEST_F(Variables, alone_by_default_and_in_a_batch_script) {
  set("SLURM_NTASKS", "4");  // of the job, not of a step
  const Environment environment = read_environment();
  EXPECT_EQ(environment.rank, 0);
  EXPECT_EQ(environment.size, 1);
}

TEST_F(Variables, of_a_launcher) {
  set("RANK", "3");
  set("WORLD_SIZE", "4");
  set("LOCAL_WORLD_SIZE", "2");
  set("MASTER_ADDR", "10.0.0.1");
  set("MASTER_PORT", "29500");
  set("SGRPO_RUN_TOKEN", "abc");
  set("SLURM_PROCID", "0");  // torchrun inside of a job step: its own word counts
  const Environment environment = read_environment();
  EXPECT_EQ(environment.rank, 3);
  EXPECT_EQ(environment.size, 4);
  EXPECT_EQ(environment.local_size, 2);
  EXPECT_EQ(environment.address, "10.0.0.1");
  EXPECT_EQ(environment.port, 29500);
  EXPECT_EQ(environment.token, "abc");
}

TEST_F(Variables, of_a_slurm_step) {
  set("SLURM_PROCID", "4");
  set("SLURM_STEP_NUM_TASKS", "5");
  set("SLURM_NODEID", "2");
  set("SLURM_STEP_TASKS_PER_NODE", "2(x2),1");
  set("SLURM_LAUNCH_NODE_IPADDR", "10.0.0.7");
  set("SLURM_JOB_ID", "123");
  const Environment environment = read_environment();
  EXPECT_EQ(environment.rank, 4);
  EXPECT_EQ(environment.size, 5);
  EXPECT_EQ(environment.local_size, 1);
  EXPECT_EQ(environment.address, "10.0.0.7");
  EXPECT_EQ(environment.port, 20123);
  set("SLURM_NODEID", "1");
  EXPECT_EQ(read_environment().local_size, 2);
}

TEST_F(Variables, malformed_ones_are_named) {
  set("WORLD_SIZE", "two");
  EXPECT_EQ(error(),
            "the environment says WORLD_SIZE=two, expected a whole number of 1 or more, or "
            "nothing");
  set("WORLD_SIZE", "2");
  EXPECT_EQ(error(),
            "the environment says WORLD_SIZE=2 but not RANK: expected both (scripts/launch.sh, "
            "torchrun and srun set them), or unset WORLD_SIZE");
  set("RANK", "2");
  EXPECT_EQ(error(), "the environment says RANK=2, expected a whole number of 0 to 1, or nothing");
  set("RANK", "1");
  EXPECT_EQ(error(),
            "this is rank 1 of 2, but the environment does not say MASTER_ADDR, the address of "
            "rank 0's machine (scripts/launch.sh and torchrun set it)");
  set("MASTER_ADDR", "127.0.0.1");
  set("MASTER_PORT", "99999");
  EXPECT_EQ(error(),
            "the environment says MASTER_PORT=99999, expected a whole number of 1 to 65535, or "
            "nothing");
}

TEST(Settings, first_difference_is_named_with_its_rank) {
  const std::vector<std::string> names = {"rank 0 (a)", "rank 1 (b)"};
  const core::Json settings = {{"model.lora", nullptr}, {"seed", 1}, {"optim.lr", 0.5}};
  check_same_settings({settings, settings}, names);
  core::Json other = settings;
  other["optim.lr"] = 0.25;
  try {
    check_same_settings({settings, other}, names);
    ADD_FAILURE() << "no error";
  } catch (const core::UserError& error) {
    EXPECT_STREQ(error.what(),
                 "optim.lr is 0.25 on rank 1 (b), but 0.5 on rank 0 (a): all ranks must be given "
                 "the same");
  }
  other.erase("optim.lr");
  EXPECT_THROW(check_same_settings({settings, other}, names), core::UserError);
}

}  // namespace
}  // namespace sgrpo::distributed
