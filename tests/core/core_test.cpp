#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "sgrpo/core/check.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/registry.h"
#include "testing/scratch.h"

namespace sgrpo::core {
namespace {

using testing::message_of;

using Maker = int (*)();
struct NumberTag {};
using NumberMakers = Registry<Maker, NumberTag>;
constexpr int kLineOfOne = __LINE__ + 1;
const bool registered_one = NumberMakers::add("one", [] { return 1; });
const bool registered_three = NumberMakers::add("three", [] { return 3; });

TEST(Registry, get_known_name_gives_its_factory) {
  EXPECT_EQ(NumberMakers::get("number", "one")(), 1);
  EXPECT_TRUE(NumberMakers::contains("three"));
  EXPECT_FALSE(NumberMakers::contains("two"));
  EXPECT_EQ(NumberMakers::names(), (std::vector<std::string>{"one", "three"}));
}

TEST(Registry, get_unknown_name_lists_the_known_and_the_nearest) {
  EXPECT_EQ(message_of<UserError>([] { NumberMakers::get("number", "thre"); }),
            "unknown number 'thre' (did you mean 'three'?); known: one, three");
}

TEST(Registry, add_twice_names_both_places) {
  const int line = __LINE__ + 2;
  const std::string message =
      message_of<ContractError>([] { NumberMakers::add("one", [] { return 2; }); });
  EXPECT_EQ(message.find("'one' is registered twice: "), 0u) << message;
  const std::string file = __FILE__;
  EXPECT_NE(message.find(file + ":" + std::to_string(kLineOfOne)), std::string::npos) << message;
  EXPECT_NE(message.find(file + ":" + std::to_string(line)), std::string::npos) << message;
  EXPECT_EQ(NumberMakers::get("number", "one")(), 1);
}

TEST(Check, broken_contract_names_condition_and_place) {
  const auto broken = [](int got) { SGRPO_CHECK(got == 1, "got ", got, ", expected 1"); };
  EXPECT_NO_THROW(broken(1));
  const std::string message = message_of<ContractError>([&] { broken(2); });
  EXPECT_EQ(message.find("got 2, expected 1 ["), 0u) << message;
  EXPECT_NE(message.find("core_test.cpp:"), std::string::npos) << message;
  EXPECT_NE(message.find("got == 1]"), std::string::npos) << message;
}

class FileTest : public ::testing::Test {
 protected:
  testing::Scratch scratch_;
  const std::filesystem::path& folder_ = scratch_.path();
};

TEST_F(FileTest, write_then_read_gives_the_bytes_and_leaves_no_temporary) {
  const std::string bytes("a\0b\xff\n", 5);
  write_file_atomic(folder_ / "x", "old and longer");
  write_file_atomic(folder_ / "x", bytes);
  EXPECT_EQ(read_file(folder_ / "x"), bytes);
  const auto entries = std::filesystem::directory_iterator(folder_);
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
}

TEST_F(FileTest, write_without_a_folder_fails_and_names_it) {
  const std::string message =
      message_of<RunError>([&] { write_file_atomic(folder_ / "no" / "x", "a"); });
  EXPECT_NE(message.find((folder_ / "no" / "x").string()), std::string::npos) << message;
  EXPECT_NE(message.find("No such file or directory"), std::string::npos) << message;
}

TEST_F(FileTest, write_onto_a_folder_fails_and_leaves_no_temporary) {
  std::filesystem::create_directory(folder_ / "x");
  EXPECT_THROW(write_file_atomic(folder_ / "x", "a"), RunError);
  const auto entries = std::filesystem::directory_iterator(folder_);
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
}

TEST_F(FileTest, read_refuses_folders_pipes_missing_and_large_files) {
  const auto read = [&](const char* name, uint64_t limit = 100) {
    return message_of<UserError>([&] { read_file(folder_ / name, limit); });
  };
  EXPECT_EQ(read("none"),
            "cannot read " + (folder_ / "none").string() + ": No such file or directory");
  EXPECT_EQ(read("."), "cannot read " + (folder_ / ".").string() + ": is a folder");
  write_file_atomic(folder_ / "x", "12345");
  EXPECT_EQ(read("x", 4), (folder_ / "x").string() + " has 5 bytes, at most 4 are accepted here");
  EXPECT_EQ(read_file(folder_ / "x", 5), "12345");
}

TEST(Log, sink_receives_level_and_text) {
  std::vector<std::pair<LogLevel, std::string>> seen;
  set_log_sink([&](LogLevel level, const std::string& text) { seen.emplace_back(level, text); });
  info("a", 1);
  warn("b");
  set_log_sink({});
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0], (std::pair<LogLevel, std::string>{LogLevel::kInfo, "a1"}));
  EXPECT_EQ(seen[1].first, LogLevel::kWarning);
}

}  // namespace
}  // namespace sgrpo::core
