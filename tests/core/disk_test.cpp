// Writes that fail, and what must not be overwritten.
#include <filesystem>

#include "sgrpo/core/error.h"
#include "testing/file_limit.h"
#include "testing/scratch.h"

namespace sgrpo::core {
namespace {

namespace fs = std::filesystem;

using testing::FileLimit;

constexpr const char* kTooLarge =
    "File too large; raise the limit on file sizes (ulimit -f), then run the same command again";

TEST(Disk, file_size_limit_is_an_error_and_leaves_the_old_file_alone) {
  const testing::Scratch scratch;
  scratch.write("x", "old");
  const FileLimit limit(10);
  EXPECT_EQ(scratch.shorten(testing::message_of<RunError>(
                [&] { write_file_atomic(scratch / "x", std::string(20, 'n')); })),
            str("cannot write x: ", kTooLarge));
  EXPECT_EQ(read_file(scratch / "x"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path()), {}), 1) << "no temporary file";
}

TEST(Disk, append_that_fails_leaves_whole_records_only) {
  const testing::Scratch scratch;
  AppendFile file(scratch / "rows");
  file.append("12345678\n");
  {
    const FileLimit limit(12);
    EXPECT_EQ(scratch.shorten(testing::message_of<RunError>([&] { file.append("abcdefgh\n"); })),
              str("cannot append to rows: ", kTooLarge));
  }
  EXPECT_EQ(read_file(scratch / "rows"), "12345678\n");
  file.append("abcdefgh\n");
  EXPECT_EQ(read_file(scratch / "rows"), "12345678\nabcdefgh\n");
}

TEST(Disk, full_disk_says_what_to_do) {
  EXPECT_EQ(write_reason(ENOSPC),
            "No space left on device; free some space, then run the same command again");
  EXPECT_EQ(write_reason(EACCES), "Permission denied");
}

TEST(Disk, append_opens_anew_or_at_the_end_or_not_at_all) {
  const testing::Scratch scratch;
  AppendFile(scratch / "x", AppendFile::Open::kReplace).append("a");
  AppendFile(scratch / "x").append("b");
  EXPECT_EQ(read_file(scratch / "x"), "ab");
  AppendFile(scratch / "x", AppendFile::Open::kReplace).append("c");
  EXPECT_EQ(read_file(scratch / "x"), "c");
  EXPECT_EQ(scratch.shorten(testing::message_of<RunError>(
                [&] { AppendFile(scratch / "x", AppendFile::Open::kNew); })),
            "cannot write x: File exists");
}

TEST(Disk, unfinished_files_of_a_killed_process_are_removed_and_nothing_else) {
  const testing::Scratch scratch;
  for (const char* name : {"x.tmp-12", "x.tmp-", "x.tmp-1a", ".tmp-12", "x", "x.tmp-12.bak"})
    scratch.write(name, "");
  remove_unfinished_files(scratch.path());
  EXPECT_FALSE(fs::exists(scratch / "x.tmp-12"));
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path()), {}), 5);
  EXPECT_NO_THROW(remove_unfinished_files(scratch / "none"));
}

TEST(Disk, output_that_is_the_input_is_refused_by_every_name) {
  const testing::Scratch scratch;
  scratch.write("in", "rows");
  fs::create_symlink("in", scratch / "soft");
  fs::create_hard_link(scratch / "in", scratch / "hard");
  const auto refusal = [&](const char* output, const char* input) {
    return scratch.shorten(testing::message_of<UserError>(
        [&] { check_not_input(scratch / output, scratch / input); }));
  };
  EXPECT_EQ(refusal("in", "in"),
            "writing in would destroy the input in: give the output another path");
  EXPECT_EQ(refusal("soft", "in"),
            "writing soft would destroy the input in (the same file by another name): give the "
            "output another path");
  for (const char* output : {"hard", "soft", "in"}) EXPECT_NE(refusal(output, "."), "") << output;
  EXPECT_NO_THROW(check_not_input(scratch / "other", scratch / "in"));
  EXPECT_NO_THROW(check_not_input(scratch / "other", scratch.path()));
}

}  // namespace
}  // namespace sgrpo::core
