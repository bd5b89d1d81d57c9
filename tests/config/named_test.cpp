// Members that are names (enumerations, registered things) and paths.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

#include "config_error.h"
#include "sgrpo/config/number_or.h"
#include "sgrpo/core/registry.h"

namespace sgrpo::config {
namespace {

enum class Mode { kReplace, kAppend };
constexpr auto names_of(Mode) { return std::array{"replace", "append"}; }

struct ToolTag {};
using ToolRegistry = core::Registry<int (*)(), ToolTag>;
const bool has_tools = ToolRegistry::add("hammer", nullptr) && ToolRegistry::add("saw", nullptr);

struct NamedExample {
  Mode mode = Mode::kReplace;
  std::vector<Mode> modes;
  std::optional<Mode> maybe;
  Choice<ToolRegistry> tool = "saw";
  Choice<ToolRegistry> open = "hammer";
  core::Json tools = core::Json::object();
  std::string folder;
  std::optional<std::string> file;
  std::vector<std::string> files;
  std::map<std::string, std::string> splits;

  template <class V>
  void visit_fields(V& visit) {
    visit("mode", mode, FieldInfo{});
    visit("modes", modes, FieldInfo{});
    visit("maybe", maybe, FieldInfo{});
    visit("tool", tool, FieldInfo{});
    visit("open", open, FieldInfo{.more_names = "tools"});
    visit("tools", tools, FieldInfo{});
    visit("folder", folder, FieldInfo{.required = true, .is_path = true});
    visit("file", file, FieldInfo{.is_path = true});
    visit("files", files, FieldInfo{.is_path = true});
    visit("splits", splits, FieldInfo{.is_path = true});
  }
};

NamedExample named(const std::string& text) { return read_options<NamedExample>(text); }

std::string named_error(const std::string& text) {
  return config_error([&] { named(text); });
}

TEST(Named, enumerations_are_read_and_printed_by_name) {
  const NamedExample config =
      named("mode: append\nmodes: [append, replace]\nmaybe: append\ntool: hammer\n");
  EXPECT_EQ(config.mode, Mode::kAppend);
  EXPECT_EQ(config.modes, (std::vector{Mode::kAppend, Mode::kReplace}));
  EXPECT_EQ(config.maybe, Mode::kAppend);
  EXPECT_EQ(config.tool.name(), "hammer");
  EXPECT_EQ(to_yaml(config),
            "mode: append\nmodes: [append, replace]\nmaybe: append\ntool: hammer\nopen: hammer\n"
            "tools: {}\nfolder: null\nfile: null\nfiles: []\nsplits: {}\n");
  EXPECT_EQ(named("maybe: null\n").maybe, std::nullopt);
  EXPECT_EQ(to_json(NamedExample{}).dump(),
            R"({"mode":"replace","modes":[],"maybe":null,"tool":"saw","open":"hammer","tools":{},)"
            R"("folder":null,"file":null,"files":[],"splits":{}})");
}

TEST(Named, an_unknown_name_gets_the_nearest) {
  EXPECT_EQ(named_error("mode: apend\n"),
            "run.yaml:1: mode is apend, expected replace | append (did you mean 'append'?)");
  EXPECT_EQ(named_error("modes:\n  - append\n  - other\n"),
            "run.yaml:3: modes is other, expected replace | append");
  EXPECT_EQ(named_error("mode: null\n"), "run.yaml:1: mode is null, expected replace | append");
  EXPECT_EQ(named_error("tool: hamer\n"),
            "run.yaml:1: tool is hamer, expected hammer | saw (did you mean 'hammer'?)");
}

TEST(Named, a_choice_takes_what_the_configuration_defines) {
  EXPECT_EQ(named("open: mine\ntools: {mine: {}}\n").open.name(), "mine");
  EXPECT_EQ(named_error("tools: {mine: {}}\nopen: mime\n"),
            "run.yaml:2: open is mime, expected hammer | saw | mine (did you mean 'mine'?)");
  EXPECT_EQ(named_error("tools: {mine: {}}\ntool: mine\n"),
            "run.yaml:2: tool is mine, expected hammer | saw");
}

TEST(Named, help_lists_the_names) {
  const std::vector<FieldLine> lines = list_fields<NamedExample>();
  EXPECT_EQ(lines[0].type, "name");
  EXPECT_EQ(lines[0].range, "replace | append");
  EXPECT_EQ(lines[1].type, "list of names");
  EXPECT_EQ(lines[2].type, "name or null");
  EXPECT_EQ(lines[3].range, "hammer | saw");
  EXPECT_EQ(lines[3].default_value, "saw");
  EXPECT_EQ(lines[4].range, "hammer | saw | a name under tools");
}

enum class Source { kJudged, kRelative };
constexpr auto names_of(Source) { return std::array{"judged", "relative"}; }

struct Limits {
  double low = 0.5;
  template <class V>
  void visit_fields(V& visit) {
    visit("low", low, FieldInfo{});
  }
};

struct NumberExample {
  NumberOr<Source> reward = 1.0;
  Limits limits;
  bool last = true;
  template <class V>
  void visit_fields(V& visit) {
    visit("reward", reward, FieldInfo{.low = 0, .high = 2});
    visit.section("limits", limits);
    visit("last", last, FieldInfo{});
  }
};

struct OuterExample {
  NumberExample inner;
  template <class V>
  void visit_fields(V& visit) {
    visit.section("inner", inner);
  }
};

std::string number_error(const std::string& text) {
  NumberExample config;
  try {
    bind(parse_yaml(text, "run.yaml"), config);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(NumberOr, a_number_or_a_name_is_read_and_printed) {
  NumberExample config;
  EXPECT_EQ(to_yaml(config), "reward: 1\nlimits:\n  low: 0.5\nlast: true\n");
  bind(parse_yaml("reward: judged\n", "run.yaml"), config);
  EXPECT_TRUE(config.reward.is(Source::kJudged));
  EXPECT_EQ(to_json(config)["reward"], "judged");
  bind(parse_yaml("reward: 0.25\n", "run.yaml"), config);
  EXPECT_FALSE(config.reward.name.has_value());
  EXPECT_EQ(config.reward.number, 0.25);
  EXPECT_EQ(to_json(config)["reward"], 0.25);
  EXPECT_EQ(differences(config), std::vector<std::string>{"reward: 0.25 (default 1)"});
  EXPECT_EQ(number_error("reward: jugded\n"),
            "run.yaml:1: reward is jugded, expected 0..2 | judged | relative (did you mean "
            "'judged'?)");
  EXPECT_EQ(number_error("reward: 3\n"),
            "run.yaml:1: reward is 3, expected 0..2 | judged | relative");
  EXPECT_EQ(list_fields<NumberExample>()[0].type, "number or name");
  EXPECT_EQ(list_fields<NumberExample>()[0].range, "0..2 | judged | relative");
}

TEST(Sections, nest_in_what_is_printed_and_read) {
  OuterExample config;
  const std::string text = "inner:\n  reward: relative\n  limits:\n    low: 0.25\n  last: false\n";
  bind(parse_yaml(text, "run.yaml"), config);
  EXPECT_EQ(config.inner.limits.low, 0.25);
  EXPECT_EQ(to_yaml(config), text);
}

TEST(Paths, a_leading_home_is_expanded_in_every_kind_of_member) {
  const std::string home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  ::setenv("HOME", "/home/me", 1);
  const NamedExample config =
      named("folder: ~/runs/a\nfile: $HOME/f\nfiles: ['${HOME}', a/~/b, ~x/y]\nsplits: {v: ~/v}\n");
  EXPECT_EQ(config.folder, "/home/me/runs/a");
  EXPECT_EQ(config.file, "/home/me/f");
  EXPECT_EQ(config.files, (std::vector<std::string>{"/home/me", "a/~/b", "~x/y"}));
  EXPECT_EQ(config.splits.at("v"), "/home/me/v");
  EXPECT_EQ(named_error("\nfolder: $SCRATCH/a\n"),
            "run.yaml:2: path $SCRATCH/a: only ~ and $HOME are expanded, not $SCRATCH; write the "
            "whole path, or ./$SCRATCH for a file of that name");
  EXPECT_EQ(named("folder: ./$SCRATCH/~\n").folder, "./$SCRATCH/~");
  ::setenv("HOME", home.c_str(), 1);
}

}  // namespace
}  // namespace sgrpo::config
