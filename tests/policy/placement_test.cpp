// Device and dtype of a policy: what each state of a machine gives, and what is said of it.
#include <gtest/gtest.h>

#include <cstdlib>

#include "sgrpo/core/error.h"
#include "sgrpo/policy/placement.h"

namespace sgrpo::policy {
namespace {

using model::DeviceKind;
using model::Dtype;

/// A machine with four GPUs and a driver that is new enough.
CudaState four_gpus() {
  return {.is_built = true, .num_devices = 4, .driver = 13010, .wanted = 13000};
}

model::Placement placed(DeviceKind device,
                        Dtype dtype,
                        const CudaState& cuda,
                        std::optional<int64_t> local_rank = std::nullopt) {
  model::ModelOptions options;
  options.device = device;
  options.dtype = dtype;
  return resolve_placement(options, cuda, local_rank);
}

template <class Body>
std::string refusal(const Body& body) {
  try {
    body();
  } catch (const core::UserError& error) {
    return error.what();
  }
  return "";
}

std::string refusal_of_cuda(const CudaState& cuda) {
  return refusal([&] { placed(DeviceKind::kCuda, Dtype::kAuto, cuda); });
}

TEST(Placement, auto_takes_the_gpu_in_bfloat16_and_the_cpu_in_float32) {
  const auto gpu = placed(DeviceKind::kAuto, Dtype::kAuto, four_gpus());
  EXPECT_EQ(gpu.device.str(), "cuda:0");
  EXPECT_EQ(gpu.dtype, at::kBFloat16);
  const auto cpu = placed(DeviceKind::kAuto, Dtype::kAuto, {});
  EXPECT_TRUE(cpu.device.is_cpu());
  EXPECT_EQ(cpu.dtype, at::kFloat);
  EXPECT_EQ(placed(DeviceKind::kCpu, Dtype::kAuto, four_gpus()).dtype, at::kFloat);
}

TEST(Placement, a_dtype_that_is_given_is_taken_everywhere) {
  EXPECT_EQ(placed(DeviceKind::kAuto, Dtype::kFloat32, four_gpus()).dtype, at::kFloat);
  EXPECT_EQ(placed(DeviceKind::kAuto, Dtype::kBfloat16, {}).dtype, at::kBFloat16);
  EXPECT_EQ(dtype_name({.dtype = at::kBFloat16}), "bfloat16");
  EXPECT_EQ(dtype_name({}), "float32");
}

TEST(Placement, local_rank_chooses_the_gpu) {
  const auto device = [](const CudaState& cuda, int64_t rank) {
    return placed(DeviceKind::kAuto, Dtype::kAuto, cuda, rank).device.str();
  };
  EXPECT_EQ(device(four_gpus(), 0), "cuda:0");
  EXPECT_EQ(device(four_gpus(), 3), "cuda:3");
  CudaState bound = four_gpus();  // a scheduler shows each process its own GPU alone
  bound.num_devices = 1;
  EXPECT_EQ(device(bound, 3), "cuda:0");
  EXPECT_EQ(device({}, 3), "cpu");
  EXPECT_EQ(refusal([&] { device(four_gpus(), 4); }),
            "this process is number 4 of its machine (LOCAL_RANK or SLURM_LOCALID, from 0), but "
            "sees 4 GPUs: start one process a GPU, or set model.device=cpu");
}

TEST(Placement, cuda_that_cannot_be_had_is_refused_with_the_reason) {
  const std::string begin = "model.device is cuda, but ";
  const std::string end = "; model.device=auto or cpu takes the CPU";
  EXPECT_EQ(refusal_of_cuda({}), begin + "this build has no CUDA (the preset `cuda` has)" + end);
  CudaState cuda = four_gpus();
  cuda.num_devices = 0;
  EXPECT_EQ(refusal_of_cuda(cuda),
            begin +
                "this process sees no NVIDIA GPU (is CUDA_VISIBLE_DEVICES set to something "
                "else?)" +
                end);
  cuda.driver = 12090;
  EXPECT_EQ(refusal_of_cuda(cuda),
            begin +
                "the NVIDIA driver serves CUDA up to 12.9, and this build needs 13.0 (update "
                "the driver)" +
                end);
  cuda.driver = 0;
  EXPECT_EQ(refusal_of_cuda(cuda), begin + "this machine has no NVIDIA driver" + end);
  EXPECT_TRUE(placed(DeviceKind::kAuto, Dtype::kAuto, cuda).device.is_cpu());
}

TEST(Placement, a_driver_serves_every_minor_version_of_its_major_one) {
  CudaState cuda = four_gpus();
  cuda.driver = 13000;
  cuda.wanted = 13020;
  EXPECT_EQ(why_no_cuda(cuda), "");
}

TEST(Placement, a_plan_may_be_made_for_a_gpu_elsewhere) {
  model::ModelOptions options;
  options.device = DeviceKind::kCuda;
  EXPECT_TRUE(expected_placement(options).device.is_cuda());
  EXPECT_EQ(expected_placement(options).dtype, at::kBFloat16);
}

/// Environment variables of one test.
class LocalRank : public ::testing::Test {
 protected:
  LocalRank() { clear(); }
  ~LocalRank() override { clear(); }
  static void clear() {
    for (const char* name : {"LOCAL_RANK", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS"})
      ::unsetenv(name);
  }
  static void set(const char* name, const char* value) { ::setenv(name, value, /*overwrite=*/1); }
};

TEST_F(LocalRank, comes_from_torchrun_else_from_a_job_step) {
  EXPECT_EQ(read_local_rank(), std::nullopt);
  set("SLURM_LOCALID", "2");
  EXPECT_EQ(read_local_rank(), std::nullopt) << "a batch script has it, too";
  set("SLURM_STEP_NUM_TASKS", "4");
  EXPECT_EQ(read_local_rank(), 2);
  set("LOCAL_RANK", "1");
  EXPECT_EQ(read_local_rank(), 1);
}

TEST_F(LocalRank, what_is_no_number_is_refused) {
  for (const char* value : {"-1", "one", "1x"}) {
    set("LOCAL_RANK", value);
    EXPECT_EQ(refusal([] { read_local_rank(); }),
              core::str("the environment says LOCAL_RANK=",
                        value,
                        ", expected this process's number on its machine, 0 or more"));
  }
}

}  // namespace
}  // namespace sgrpo::policy
