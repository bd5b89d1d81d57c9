// Names of enumerations, and the home folder in paths.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/names.h"

namespace sgrpo::core {
namespace {

enum class Colour { kRed, kBlue };
constexpr auto names_of(Colour) { return std::array{"red", "blue"}; }

TEST(Names, values_and_names_map_onto_each_other) {
  EXPECT_EQ(all_names<Colour>(), (std::vector<std::string>{"red", "blue"}));
  for (const Colour colour : {Colour::kRed, Colour::kBlue})
    EXPECT_EQ(from_name<Colour>(name_of(colour)), colour);
  EXPECT_EQ(name_of(Colour::kBlue), "blue");
  EXPECT_EQ(from_name<Colour>("green"), std::nullopt);
}

TEST(ExpandHome, only_a_leading_home_is_expanded) {
  const char* home = std::getenv("HOME");
  const std::string before = home == nullptr ? "" : home;
  ::setenv("HOME", "/h", 1);
  EXPECT_EQ(expand_home("~"), "/h");
  EXPECT_EQ(expand_home("~/a b/~"), "/h/a b/~");
  EXPECT_EQ(expand_home("$HOME/a"), "/h/a");
  EXPECT_EQ(expand_home("${HOME}/a"), "/h/a");
  EXPECT_EQ(expand_home("~root/a").find('~'), std::string::npos);
  for (const char* path : {"", "a/~", "./~", "/$HOME", "~no such user/a", "$lower/a", "$"})
    EXPECT_EQ(expand_home(path), path);
  EXPECT_THROW(expand_home("$HOMER/a"), UserError);
  std::string message;
  try {
    expand_home("${oc.env:HOME}/runs");
  } catch (const UserError& error) {
    message = error.what();
  }
  EXPECT_EQ(message,
            "path ${oc.env:HOME}/runs: only ~ and $HOME are expanded, not ${oc.env:HOME}; write "
            "the whole path, or ./${oc.env:HOME} for a file of that name");
  ::setenv("HOME", before.c_str(), 1);
}

}  // namespace
}  // namespace sgrpo::core
