#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "config_error.h"
#include "sgrpo/core/text.h"

namespace sgrpo::config {
namespace {

/// The message of the ConfigError that parsing throws, or "no error".
std::string parse_error(const std::string& text) {
  return config_error([&] { parse_yaml(text, "run.yaml"); });
}

core::Json parsed(const std::string& text) { return parse_yaml(text, "run.yaml").to_json(); }

std::string repeat(const std::string& text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

TEST(Yaml, parse_nested_map_keeps_order_and_the_lines_of_keys) {
  const Node root = parse_yaml("b: 1\n\na:\n  - x\n  - {c: 2}\n", "run.yaml");
  ASSERT_EQ(root.members.size(), 2u);
  EXPECT_EQ(root.members[0].first, "b");
  EXPECT_EQ(root.members[0].second.where, "run.yaml:1");
  EXPECT_EQ(root.members[1].second.where, "run.yaml:3");
  EXPECT_EQ(root.members[1].second.items[1].where, "run.yaml:5");
  EXPECT_EQ(root.to_json().dump(), R"({"b":1,"a":["x",{"c":2}]})");
}

TEST(Yaml, parse_scalars_resolves_the_core_schema_and_nothing_else) {
  EXPECT_EQ(parsed("a: [1, -2, +3, 0x1F, 0o17, 1.5, 1e3, .5, 5., true, False, ~, null, '']").dump(),
            R"({"a":[1,-2,3,31,15,1.5,1000.0,0.5,5.0,true,false,null,null,""]})");
  EXPECT_EQ(
      parsed("a: [yes, on, '1', \"true\", !!str 2, 1_000, 1:30, 2020-01-01, 0x, '~', e5]").dump(),
      R"({"a":["yes","on","1","true","2","1_000","1:30","2020-01-01","0x","~","e5"]})");
  EXPECT_EQ(parsed("a: 99999999999999999999").dump(), R"({"a":1e+20})");
}

TEST(Yaml, parse_empty_text_gives_an_empty_map) {
  EXPECT_EQ(parse_yaml("", "run.yaml").kind, Node::Kind::kMap);
  EXPECT_EQ(parse_yaml("# nothing\n", "run.yaml").kind, Node::Kind::kMap);
}

TEST(Yaml, parse_duplicate_key_names_both_lines) {
  EXPECT_EQ(parse_error("optim:\n  lr: 1\n  eps: 2\n  lr: 3\n"),
            "run.yaml:4: key 'lr' is given twice (first at run.yaml:2)");
  EXPECT_EQ(parse_error("a: 1\n'a': 2\n"),
            "run.yaml:2: key 'a' is given twice (first at run.yaml:1)");
}

TEST(Yaml, parse_aliases_copies_the_anchored_value) {
  EXPECT_EQ(parsed("a: &x {p: 1}\nb: *x\n").dump(), R"({"a":{"p":1},"b":{"p":1}})");
}

TEST(Yaml, parse_more_than_100_aliases_is_refused) {
  EXPECT_EQ(parse_error("a: &x 1\nb: [" + repeat("*x , ", 100) + "]\n"), "no error");
  EXPECT_EQ(parse_error("a: &x 1\nb: [" + repeat("*x , ", 101) + "]\n"),
            "run.yaml:2: more than 100 aliases (*name)");
}

TEST(Yaml, parse_alias_bomb_below_100_aliases_is_refused) {
  std::string bomb = "k0: &a0 [x, x]\n";
  for (int i = 1; i < 40; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb +=
        "k" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last + " , " + last + " ]\n";
  }
  EXPECT_NE(parse_error(bomb).find("more than 100000 values once aliases are expanded"),
            std::string::npos)
      << parse_error(bomb);
}

TEST(Yaml, parse_self_reference_is_refused) {
  EXPECT_EQ(parse_error("a: &x\n  - *x\n"),
            "run.yaml:2: an alias refers to the value it is part of");
  EXPECT_EQ(parse_error("&x {a: {b: *x}}\n"),
            "run.yaml:1: an alias refers to the value it is part of");
}

TEST(Yaml, parse_nesting_beyond_64_is_refused) {
  EXPECT_EQ(parse_error("a: " + repeat("[", 63) + repeat("]", 63)), "no error");
  EXPECT_EQ(parse_error("a: " + repeat("[", 64) + repeat("]", 64)),
            "run.yaml:1: nested more than 64 levels deep");
  EXPECT_EQ(parse_error("a: " + repeat("[", 100000) + repeat("]", 100000)),
            "run.yaml:1: nested more than 64 levels deep");
  // An alias may not smuggle depth in: 40 + 40 levels.
  EXPECT_EQ(parse_error("a: &x " + repeat("[", 40) + repeat("]", 40) + "\nb: " + repeat("[", 40) +
                        "*x " + repeat("]", 40) + "\n"),
            "run.yaml:2: nested more than 64 levels deep");
}

TEST(Yaml, parse_malformed_text_names_the_line) {
  EXPECT_EQ(parse_error("a: 1\nb: [1, 2\nc: 3\n").substr(0, 28), "run.yaml:3: not valid YAML: ");
  EXPECT_EQ(parse_error("a: *nobody\n").substr(0, 28), "run.yaml:1: not valid YAML: ");
  EXPECT_EQ(parse_error("a: \xff\n"), "run.yaml: not valid UTF-8");
  EXPECT_EQ(parse_error("- 1\n"), "run.yaml:1: expected a map of keys (key: value) at the top");
  EXPECT_EQ(parse_error("a: 1\n---\nb: 2\n"), "run.yaml:3: a second document; expected only one");
  EXPECT_EQ(parse_error("a: !python/object 1\n"),
            "run.yaml:1: the tag !python/object is not supported");
  EXPECT_EQ(parse_error("? [a]\n: 1\n"),
            "run.yaml:1: a key must be a single word, not a list or map");
  EXPECT_EQ(parse_error("a: &x {b: 1}\nc:\n  <<: *x\n"),
            "run.yaml:3: merge keys (<<) are not supported; write the keys out");
}

TEST(Yaml, load_missing_file_names_the_path) {
  try {
    load_yaml("/nonexistent/run.yaml");
    FAIL() << "no error";
  } catch (const core::UserError& error) {
    EXPECT_STREQ(error.what(), "cannot read /nonexistent/run.yaml: No such file or directory");
  }
}

TEST(Override, set_new_and_existing_paths_takes_the_last_value) {
  Node root = parse_yaml("rollout: {group_size: 8}\ndata.shuffle: true\n", "run.yaml");
  override_value(root, "rollout.group_size", "4");
  override_value(root, "rollout.top_p", "0.5");
  override_value(root, "verifier.params.words", "[a, b]");
  override_value(root, "data.shuffle", "false");
  override_value(root, "rollout.top_p", "0.9");
  EXPECT_EQ(root.to_json().dump(),
            R"({"rollout":{"group_size":4,"top_p":0.9},"data.shuffle":false,)"
            R"("verifier":{"params":{"words":["a","b"]}}})");
  EXPECT_EQ(root.find("rollout")->find("top_p")->where, "command line: rollout.top_p=0.9");
}

TEST(Override, text_is_one_scalar_unless_it_begins_as_flow_yaml) {
  Node root = parse_yaml("", "run.yaml");
  override_value(root, "a", "x: y # z");
  override_value(root, "b", "\"1\"");
  override_value(root, "c", "");
  override_value(root, "d", "{k: [1, null]}");
  override_value(root, "e", "*star");
  EXPECT_EQ(root.to_json().dump(),
            R"({"a":"x: y # z","b":"1","c":null,"d":{"k":[1,null]},"e":"*star"})");
}

TEST(Override, path_below_a_value_or_malformed_path_is_refused) {
  Node root = parse_yaml("seed: 3\n", "run.yaml");
  try {
    override_value(root, "seed.x", "1");
    FAIL() << "no error";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "command line: seed.x=1: seed is set to a value at run.yaml:1, so it has no keys "
                 "of its own");
  }
  EXPECT_THROW(override_value(root, "a..b", "1"), ConfigError);
  EXPECT_THROW(override_value(root, "a.", "1"), ConfigError);
  EXPECT_THROW(override_value(root, "b", "[1"), ConfigError);
}

TEST(Override, a_name_that_only_begins_like_yaml_is_text) {
  for (const char* text : {"[1]/data.jsonl", "{a}/b", "'a'b", "\"a\" b"}) {
    Node root = parse_yaml("", "run.yaml");
    override_value(root, "path", text);
    EXPECT_EQ(root.find("path")->scalar, text);
  }
}

TEST(Yaml, two_escapes_of_json_are_one_character) {
  const Node root = parse_yaml(R"({"a": "x \ud83d\ude42 \u00e9 \\ud83d\\ude42"})", "run.yaml");
  EXPECT_EQ(root.find("a")->scalar, "x \xF0\x9F\x99\x82 \xC3\xA9 \\ud83d\\ude42");
}

std::string load_error(std::string_view bytes) {
  const auto path = std::filesystem::temp_directory_path() / core::str("sgrpo-", ::getpid(), ".x");
  std::ofstream(path, std::ios::binary) << bytes;
  std::string message = "no error";
  try {
    load_yaml(path);
  } catch (const ConfigError& error) {
    message = error.what();
  }
  std::filesystem::remove(path);
  const size_t name = message.find(".x");
  return name == std::string::npos ? message : message.substr(name + 2);
}

TEST(LoadYaml, a_file_that_is_no_configuration_is_recognised) {
  const std::string is_data =
      " holds one JSON object a line: it is a data file, expected a configuration in YAML (a data "
      "file is named there as data.train, or as data.train=FILE on the command line)";
  EXPECT_EQ(load_error("{\"id\": 1}\n\n{\"id\": 2}\n"), is_data);
  EXPECT_EQ(load_error("\xEF\xBB\xBF{\"prompt\": \"\\ud83d\\ude42\"}"), is_data);
  EXPECT_EQ(load_error("\x89PNG\r\n\x1A\n"), " is a PNG image, expected a configuration in YAML");
  EXPECT_EQ(load_error("PK\x03\x04"), " is a zip archive, expected a configuration in YAML");
  EXPECT_EQ(load_error("{\"model\": {\"path\": \"m\"}}\n"), "no error");
  EXPECT_EQ(load_error("{model: {path: m},\n data: {train: d}}\n"), "no error");
}

const Aliases kAliases = {
    .renamed = {{"num_generations", "rollout.group_size"}, {"rollout.n", "rollout.group_size"}},
    .conflicts = {},
    .foreign = {}};

TEST(AliasesOf, apply_renames_whole_paths_and_bare_names) {
  for (const char* text : {"num_generations: 4\n", "rollout: {n: 4}\n", "rollout.n: 4\n"}) {
    Node root = parse_yaml(text, "run.yaml");
    apply_aliases(root, kAliases);
    ASSERT_NE(root.find("rollout"), nullptr) << text;
    ASSERT_NE(root.find("rollout")->find("group_size"), nullptr) << text;
    EXPECT_EQ(root.find("rollout")->find("group_size")->scalar, "4") << text;
    EXPECT_EQ(root.find("rollout")->find("group_size")->where, "run.yaml:1");
  }
  Node root = parse_yaml("verifier: {params: {num_generations: 1}}\n", "run.yaml");
  apply_aliases(root, kAliases);
  EXPECT_EQ(root.to_json().dump(), R"({"verifier":{"params":{"num_generations":1}}})");
}

TEST(AliasesOf, apply_with_both_names_given_names_both_places) {
  Node root = parse_yaml("num_generations: 4\nrollout:\n  group_size: 8\n", "run.yaml");
  try {
    apply_aliases(root, kAliases);
    FAIL() << "no error";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "run.yaml:1: 'num_generations' is another name of 'rollout.group_size', which is "
                 "given too (run.yaml:3)");
  }
}

}  // namespace
}  // namespace sgrpo::config
