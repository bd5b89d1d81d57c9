#include <gtest/gtest.h>

#include <string>

#include "config_error.h"

namespace sgrpo::config {
namespace {

struct RolloutSection {
  int64_t group_size = 8;
  double temperature = 1.0;
  std::optional<std::string> replay;
  std::optional<int64_t> limit;

  template <class V>
  void visit_fields(V& visit) {
    visit("group_size", group_size, FieldInfo{.unit = "completions", .low = 1, .high = 65536});
    visit("temperature", temperature, FieldInfo{.low = 1e-3, .high = 1e3});
    visit("replay", replay, FieldInfo{});
    visit("limit", limit, FieldInfo{.low = 1});
  }
};

struct Example {
  std::string output_dir;
  bool shuffle = true;
  RolloutSection rollout;
  std::vector<double> betas = {0.9, 0.999};
  std::vector<int64_t> k = {1};
  std::vector<std::string> freeze;
  std::vector<bool> flags;
  std::string mode = "replace";
  std::map<std::string, std::string> eval;
  core::Json params = core::Json::object();

  template <class V>
  void visit_fields(V& visit) {
    visit("output_dir", output_dir, FieldInfo{.help = "folder of the run", .required = true});
    visit("shuffle", shuffle, FieldInfo{});
    visit.section("rollout", rollout);
    visit("betas", betas, FieldInfo{.low = 0, .high = 1});
    visit("k", k, FieldInfo{.low = 1});
    visit("freeze", freeze, FieldInfo{.choices = {"vision", "merger"}});
    visit("flags", flags, FieldInfo{});
    visit("mode", mode, FieldInfo{.help = "what to do", .choices = {"replace", "append"}});
    visit("eval", eval, FieldInfo{});
    visit("params", params, FieldInfo{});
  }
};

Example bound(const std::string& text) { return read_options<Example>(text); }

std::string bind_error(const std::string& text) {
  return config_error([&] { bound(text); });
}

std::string override_error(const std::string& path, const std::string& text) {
  Node root = parse_yaml("", "run.yaml");
  override_value(root, path, text);
  Example config;
  return config_error([&] { bind(root, config); });
}

TEST(Bind, given_keys_are_set_and_others_keep_their_default) {
  const Example config = bound(
      "output_dir: 007\nshuffle: false\nrollout:\n  group_size: 1e3\n  replay: a b.jsonl\n"
      "betas: [0.5, 1]\nk: 4\nfreeze: vision\nflags: [true, false]\nmode: append\n"
      "eval: {test: 1.jsonl}\nparams: {a: [1, x]}\n");
  EXPECT_EQ(config.output_dir, "007");
  EXPECT_FALSE(config.shuffle);
  EXPECT_EQ(config.rollout.group_size, 1000);
  EXPECT_EQ(config.rollout.temperature, 1.0);
  EXPECT_EQ(config.rollout.replay, "a b.jsonl");
  EXPECT_EQ(config.rollout.limit, std::nullopt);
  EXPECT_EQ(config.betas, (std::vector<double>{0.5, 1.0}));
  EXPECT_EQ(config.k, std::vector<int64_t>{4});
  EXPECT_EQ(config.freeze, std::vector<std::string>{"vision"});
  EXPECT_EQ(config.flags, (std::vector<bool>{true, false}));
  EXPECT_EQ(config.mode, "append");
  EXPECT_EQ(config.eval.at("test"), "1.jsonl");
  EXPECT_EQ(config.params.dump(), R"({"a":[1,"x"]})");
}

TEST(Bind, null_gives_nothing_or_the_default_of_free_form_members) {
  const Example config =
      bound("output_dir: null\nrollout: {replay: ~, limit: }\nparams:\nfreeze:\neval: null\n");
  EXPECT_EQ(config.output_dir, "");
  EXPECT_EQ(config.rollout.replay, std::nullopt);
  EXPECT_EQ(config.rollout.limit, std::nullopt);
  EXPECT_EQ(config.params.dump(), "{}");
  EXPECT_TRUE(config.freeze.empty());
  EXPECT_NO_THROW(bound("rollout:\n"));
}

TEST(Bind, unknown_key_names_the_nearest_one) {
  EXPECT_EQ(bind_error("shuffle: true\nrollout:\n  gruop_size: 4\n"),
            "run.yaml:3: unknown key 'rollout.gruop_size' (did you mean 'rollout.group_size'?)");
  EXPECT_EQ(bind_error("group_size: 4\n"),
            "run.yaml:1: unknown key 'group_size' (did you mean 'rollout.group_size'?)");
  EXPECT_EQ(bind_error("rolout: {group_size: 4}\n"),
            "run.yaml:1: unknown key 'rolout' (did you mean 'rollout'?)");
  EXPECT_EQ(bind_error("rollout: {shufle: 4}\n"),
            "run.yaml:1: unknown key 'rollout.shufle' (did you mean 'shuffle'?)");
  EXPECT_EQ(bind_error("rollout: {something_else: 4}\n"),
            "run.yaml:1: unknown key 'rollout.something_else'; print-config --help lists the keys");
}

TEST(Bind, wrong_type_says_what_is_expected) {
  EXPECT_EQ(bind_error("rollout: {group_size: abc}\n"),
            "run.yaml:1: rollout.group_size is abc, expected an integer (completions)");
  EXPECT_EQ(bind_error("rollout: {group_size: 1.5}\n"),
            "run.yaml:1: rollout.group_size is 1.5, expected an integer (completions)");
  EXPECT_EQ(bind_error("rollout: {group_size: '8'}\n"),
            "run.yaml:1: rollout.group_size is the text '8', expected an integer (completions)");
  EXPECT_EQ(bind_error("rollout: {group_size: [8]}\n"),
            "run.yaml:1: rollout.group_size is a list, expected an integer (completions)");
  EXPECT_EQ(bind_error("rollout: {group_size: null}\n"),
            "run.yaml:1: rollout.group_size is null, expected an integer (completions)");
  EXPECT_EQ(bind_error("shuffle: yes\n"), "run.yaml:1: shuffle is yes, expected true or false");
  EXPECT_EQ(bind_error("rollout: {temperature: .nan}\n"),
            "run.yaml:1: rollout.temperature is .nan, expected a finite number");
  EXPECT_EQ(bind_error("rollout: {temperature: .inf}\n"),
            "run.yaml:1: rollout.temperature is .inf, expected a finite number");
  EXPECT_EQ(bind_error("output_dir: [a]\n"), "run.yaml:1: output_dir is a list, expected text");
  EXPECT_EQ(bind_error("rollout: 5\n"),
            "run.yaml:1: rollout is 5, expected a section with keys such as rollout.group_size");
  EXPECT_EQ(bind_error("eval: {test: [1]}\n"), "run.yaml:1: eval.test is a list, expected text");
  EXPECT_EQ(bind_error("eval: 5\n"), "run.yaml:1: eval is 5, expected a map of names to texts");
  EXPECT_EQ(bind_error("betas: {a: 1}\n"), "run.yaml:1: betas is a map, expected list of numbers");
}

TEST(Bind, value_out_of_range_names_the_range) {
  EXPECT_EQ(bind_error("\n\nrollout: {temperature: -1}\n"),
            "run.yaml:3: rollout.temperature is -1, expected 0.001..1000");
  EXPECT_EQ(bind_error("rollout: {group_size: 0}\n"),
            "run.yaml:1: rollout.group_size is 0, expected 1..65536 (completions)");
  EXPECT_EQ(bind_error("betas:\n  - 0.5\n  - 2\n"), "run.yaml:3: betas is 2, expected 0..1");
  EXPECT_EQ(bind_error("rollout: {limit: 0}\n"), "run.yaml:1: rollout.limit is 0, expected >= 1");
}

TEST(Bind, value_not_among_the_choices_lists_them) {
  EXPECT_EQ(bind_error("mode: apend\n"),
            "run.yaml:1: mode is apend, expected replace | append (did you mean 'append'?)");
  EXPECT_EQ(bind_error("freeze: [vision, xyz]\n"),
            "run.yaml:1: freeze is xyz, expected vision | merger");
}

TEST(Bind, override_with_a_wrong_value_quotes_the_command_line) {
  EXPECT_EQ(override_error("rollout.group_size", "abc"),
            "command line: rollout.group_size=abc: expected an integer (completions)");
  EXPECT_EQ(override_error("rollout.temperature", "-1"),
            "command line: rollout.temperature=-1: expected 0.001..1000");
  EXPECT_EQ(override_error("rollout", "{group_size: 0}"),
            "command line: rollout={group_size: 0}: rollout.group_size is 0, expected 1..65536 "
            "(completions)");
  EXPECT_EQ(override_error("rollout.gruop_size", "4"),
            "command line: rollout.gruop_size=4: unknown key 'rollout.gruop_size' (did you mean "
            "'rollout.group_size'?)");
}

TEST(Bind, dotted_and_nested_spelling_of_one_key_is_refused) {
  EXPECT_EQ(bind_error("rollout.group_size: 4\nrollout: {group_size: 8}\n"),
            "run.yaml:2: rollout.group_size is given twice (first at run.yaml:1)");
  EXPECT_EQ(bound("rollout.group_size: 4\n").rollout.group_size, 4);
}

TEST(Require, missing_key_is_named_with_its_help) {
  try {
    require(Example{}, {"output_dir"});
    FAIL() << "no error";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "output_dir is required: folder of the run; set it in the YAML file or as "
                 "output_dir=... on the command line");
  }
  EXPECT_NO_THROW(require(bound("output_dir: x\n"), {"output_dir"}));
}

TEST(Print, to_yaml_of_defaults_is_exact) {
  EXPECT_EQ(to_yaml(Example{}),
            "output_dir: null\nshuffle: true\nrollout:\n  group_size: 8\n  temperature: 1\n"
            "  replay: null\n  limit: null\nbetas: [0.9, 0.999]\nk: [1]\nfreeze: []\nflags: []\n"
            "mode: replace\neval: {}\nparams: {}\n");
}

struct Range {
  double max = 3;
  template <class V>
  void visit_fields(V& visit) {
    visit("max", max, FieldInfo{});
  }
};

struct Nested {
  struct Outer {
    Range first, second;
    bool last = false;
    template <class V>
    void visit_fields(V& visit) {
      visit.section("first", first);
      visit.section("second", second);
      visit("last", last, FieldInfo{});
    }
  } outer;
  bool after = true;
  template <class V>
  void visit_fields(V& visit) {
    visit.section("outer", outer);
    visit("after", after, FieldInfo{});
  }
};

TEST(Print, sections_may_lie_in_sections) {
  Nested config;
  config.outer.second.max = 5;
  const std::string text = to_yaml(config);
  EXPECT_EQ(text,
            "outer:\n  first:\n    max: 3\n  second:\n    max: 5\n  last: false\nafter: true\n");
  Nested again;
  bind(parse_yaml(text, "run.yaml"), again);
  EXPECT_EQ(to_yaml(again), text);
  EXPECT_EQ(differences(config), (std::vector<std::string>{"outer.second.max: 5 (default 3)"}));
}

TEST(Print, to_yaml_parses_back_to_the_same_struct) {
  Example config;
  config.output_dir = "null";
  config.rollout.temperature = 0.1 + 0.2;
  config.rollout.replay = "- a: \"b\" # c\n\t\\ \x01 \xC3\xA9 [,]{}";
  config.betas = {1e-300, 0.1};
  config.freeze = {"vision"};
  config.eval = {{"a: b", "true"}, {"7", "~"}, {"", "x"}, {"-", ".5"}};
  config.params = core::Json::parse(
      R"({"a":1.0,"b":1,"c":"1","cc":["yes","1e-6",1e-6,1e300,"2020-01-01","./a"],"d":null,"e":[],"f":{"g h":[true,"true"," x ","-1e5","@","%a","é"]}})");
  const std::string text = to_yaml(config);
  EXPECT_EQ(to_yaml(bound(text)), text);
  const Example again = bound(text);
  EXPECT_EQ(again.output_dir, config.output_dir);
  EXPECT_EQ(again.rollout.temperature, config.rollout.temperature);
  EXPECT_EQ(again.rollout.replay, config.rollout.replay);
  EXPECT_EQ(again.betas, config.betas);
  EXPECT_EQ(again.eval, config.eval);
  EXPECT_EQ(again.params.dump(), config.params.dump());
}

TEST(Print, to_yaml_writes_numbers_and_words_that_every_yaml_reader_takes_alike) {
  Example config;
  config.betas = {1e-6, 2.5e-7, 1e300, 0.25};
  config.freeze = {"yes", "NO", "1_000", "12:30", "a/b.c", "./x", "~", "007", "=", "a b"};
  const std::string text = to_yaml(config);
  EXPECT_NE(text.find("betas: [1.0e-6, 2.5e-7, 1.0e+300, 0.25]\n"), std::string::npos) << text;
  EXPECT_NE(text.find(R"(freeze: ["yes", "NO", "1_000", "12:30", a/b.c, ./x, "~", "007", "=", )"
                      R"("a b"])"),
            std::string::npos)
      << text;
}

TEST(Print, differences_list_value_and_default) {
  Example config;
  EXPECT_TRUE(differences(config).empty());
  config.rollout.group_size = 4;
  config.output_dir = "runs/x";
  EXPECT_EQ(differences(config),
            (std::vector<std::string>{"output_dir: runs/x (required)",
                                      "rollout.group_size: 4 (default 8)"}));
}

TEST(Print, to_annotated_yaml_marks_what_differs_and_still_parses) {
  const std::string text = to_annotated_yaml(bound("rollout: {group_size: 4}\n"));
  EXPECT_NE(text.find("  group_size: 4  # default 8\n"), std::string::npos) << text;
  EXPECT_NE(text.find("output_dir: null  # REQUIRED\n"), std::string::npos) << text;
  EXPECT_EQ(bound(text).rollout.group_size, 4);
}

TEST(Print, to_json_is_nested) {
  Example config;
  config.eval = {{"test", "t.jsonl"}};
  EXPECT_EQ(to_json(config).dump(),
            R"({"output_dir":null,"shuffle":true,"rollout":{"group_size":8,"temperature":1.0,)"
            R"("replay":null,"limit":null},"betas":[0.9,0.999],"k":[1],"freeze":[],"flags":[],)"
            R"("mode":"replace","eval":{"test":"t.jsonl"},"params":{}})");
}

TEST(Print, list_fields_gives_type_default_range_and_unit) {
  const std::vector<FieldLine> lines = list_fields<Example>();
  ASSERT_EQ(lines.size(), 13u);
  EXPECT_EQ(lines[0].default_value, "REQUIRED");
  EXPECT_EQ(lines[2].path, "rollout.group_size");
  EXPECT_EQ(lines[2].type, "integer");
  EXPECT_EQ(lines[2].default_value, "8");
  EXPECT_EQ(lines[2].range, "1..65536");
  EXPECT_EQ(lines[2].unit, "completions");
  EXPECT_EQ(lines[5].type, "integer or null");
  EXPECT_EQ(lines[10].range, "replace | append");
  EXPECT_EQ(lines[10].help, "what to do");
}

}  // namespace
}  // namespace sgrpo::config
