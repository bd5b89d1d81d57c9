#include "sgrpo/checkpoint/run_lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "testing/scratch.h"

namespace sgrpo::checkpoint {
namespace {

std::string error_of(const testing::Scratch& scratch) {
  return scratch.shorten(
      testing::message_of<core::UserError>([&] { const RunLock second(scratch / "run"); }));
}

TEST(RunLock, lock_held_by_another_is_refused_naming_it_until_it_lets_go) {
  const testing::Scratch scratch;
  auto first = std::make_unique<RunLock>(scratch / "run");
  const std::string error = error_of(scratch);
  const std::string expected =
      core::str("run is in use by another process (process ", ::getpid(), " on ");
  EXPECT_EQ(error.substr(0, expected.size()), expected);
  EXPECT_NE(error.find("): choose another output_dir, or wait until it ends"), std::string::npos)
      << error;
  first.reset();
  EXPECT_NO_THROW(RunLock(scratch / "run"));
}

TEST(RunLock, lock_ends_with_its_process) {
  const testing::Scratch scratch;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = std::make_unique<RunLock>(scratch / "run");
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    ::pause();  // killed: no destructor runs
  }
  ::close(ready[1]);
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_NE(error_of(scratch).find(core::str("(process ", child, " on ")), std::string::npos);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(RunLock(scratch / "run"));
  ::close(ready[0]);
}

TEST(RunLock, link_or_foreign_file_in_its_place_is_refused_and_left_alone) {
  const testing::Scratch scratch;
  scratch.write("notes", "mine");
  const std::filesystem::path lock = scratch / "run" / ".lock";
  std::filesystem::create_directory(scratch / "run");
  std::filesystem::create_symlink(scratch / "notes", lock);
  EXPECT_EQ(error_of(scratch),
            "run/.lock is a link, and locking the folder would overwrite it: remove it, or choose "
            "another output_dir");
  std::filesystem::remove(lock);
  std::filesystem::create_hard_link(scratch / "notes", lock);
  EXPECT_EQ(error_of(scratch),
            "run/.lock is not a lock of a run, and locking the folder would overwrite it: remove "
            "it, or choose another output_dir");
  EXPECT_EQ(core::read_file(scratch / "notes"), "mine");
}

}  // namespace
}  // namespace sgrpo::checkpoint
