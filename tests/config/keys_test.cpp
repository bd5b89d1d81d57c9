// Keys that nobody knows, keys under another name, and values that are no blobs in a message.
#include <gtest/gtest.h>

#include <chrono>

#include "config_error.h"

namespace sgrpo::config {
namespace {

struct Section {
  double lr = 0.1;
  int64_t warmup_steps = 0;
  template <class V>
  void visit_fields(V& visit) {
    visit("lr", lr, FieldInfo{.low = 0});
    visit("warmup_steps", warmup_steps, FieldInfo{.low = 0, .high = 100});
  }
};

struct KeysExample {
  int64_t seed = 0;
  int64_t free = 0;
  Section optim, injection;
  std::map<std::string, std::string> splits;
  core::Json k = core::Json::object();
  template <class V>
  void visit_fields(V& visit) {
    visit("seed", seed, FieldInfo{.low = 0, .high = 9e15});
    visit("free", free, FieldInfo{});
    visit.section("optim", optim);
    visit.section("injection", injection);
    visit("splits", splits, FieldInfo{});
    visit("k", k, FieldInfo{});
  }
};

const Aliases kNames = {
    .renamed = {{"rate", "optim.lr"}, {"optim.rate", "optim.lr"}},
    .conflicts = {{"rate", "free", "7", "it means something else there"}},
    .foreign = {.words = {{"learning_rate", "set optim.lr"}, {"actor.lr", "set optim.lr (actor)"}},
                .top_level = {{"prompt", "a column"}},
                .sections = {{"worker", "a section of another program"}}}};

std::string keys_error(const std::string& text, const std::vector<std::string>& overrides = {}) {
  KeysExample config;
  return config_error([&] {
    Node root = parse_yaml(text, "run.yaml");
    apply_aliases(root, kNames);
    for (const std::string& word : overrides) {
      const size_t equals = word.find('=');
      override_value(root, word.substr(0, equals), word.substr(equals + 1), kNames);
    }
    check_conflicts(root, kNames);
    bind(root, config, kNames.foreign);
  });
}

TEST(ForeignKeys, an_unknown_key_is_explained_wherever_it_stands) {
  EXPECT_EQ(keys_error("learning_rate: 1\n"),
            "run.yaml:1: 'learning_rate' is not a key of sgrpo: set optim.lr");
  EXPECT_EQ(keys_error("optim:\n  learning_rate: 1\n"),
            "run.yaml:2: 'optim.learning_rate' is not a key of sgrpo: set optim.lr");
  EXPECT_EQ(keys_error("", {"learning_rate=1"}),
            "command line: learning_rate=1: 'learning_rate' is not a key of sgrpo: set optim.lr");
  EXPECT_EQ(keys_error("worker:\n  actor:\n    lr: 1\n"),
            "run.yaml:3: 'worker.actor.lr' is not a key of sgrpo: set optim.lr (actor)");
  EXPECT_EQ(keys_error("worker: {other: {x: 1}}\n"),
            "run.yaml:1: 'worker.other.x' is not a key of sgrpo: a section of another program");
  EXPECT_EQ(keys_error("prompt: x\n"), "run.yaml:1: 'prompt' is not a key of sgrpo: a column");
  EXPECT_EQ(keys_error("optim: {prompt: x}\n"),
            "run.yaml:1: unknown key 'optim.prompt'; print-config --help lists the keys");
  // Free-form members and names of splits are the user's own.
  EXPECT_EQ(keys_error("k: {learning_rate: 1}\nsplits: {learning_rate: x}\n"), "no error");
}

TEST(WrittenKeys, a_message_names_the_key_that_the_user_wrote) {
  EXPECT_EQ(keys_error("rate: -1\n"), "run.yaml:1: rate (optim.lr) is -1, expected >= 0");
  EXPECT_EQ(keys_error("optim: {rate: x}\n"),
            "run.yaml:1: optim.rate (optim.lr) is x, expected a number");
  EXPECT_EQ(keys_error("rate: 1\n", {"rate=-1"}),
            "command line: rate=-1: rate (optim.lr) is -1, expected >= 0");
  EXPECT_EQ(keys_error("rate: 1\n", {"optim.lr=-1"}), "command line: optim.lr=-1: expected >= 0");
  Node root = parse_yaml("rate: 1\nseed: 2\n", "run.yaml");
  apply_aliases(root, kNames);
  EXPECT_EQ(written_keys(root), (std::map<std::string, std::string>{{"optim.lr", "rate"}}));
}

TEST(Conflicts, an_alias_that_means_something_else_is_refused_with_the_reason) {
  EXPECT_EQ(keys_error("free: 7\nrate: 1\n"),
            "run.yaml:2: 'rate' with free: 7 is refused: it means something else there");
  EXPECT_EQ(keys_error("free: 7\noptim: {lr: 1}\n"), "no error");
  EXPECT_EQ(keys_error("free: 8\nrate: 1\n"), "no error");
}

TEST(Suggestions, nothing_is_near_a_letter_and_equal_names_are_all_listed) {
  EXPECT_EQ(keys_error("a: 1\n"),
            "run.yaml:1: unknown key 'a'; print-config --help lists the keys");
  EXPECT_EQ(keys_error("warmup_steps: 1\n"),
            "run.yaml:1: unknown key 'warmup_steps' (did you mean 'optim.warmup_steps' or "
            "'injection.warmup_steps'?)");
}

TEST(Messages, an_integer_beyond_64_bits_says_so) {
  EXPECT_EQ(keys_error("", {"seed=18446744073709551616"}),
            "command line: seed=18446744073709551616: expected 0..9.0e+15 (it needs more than 64 "
            "bits)");
  EXPECT_EQ(keys_error("free: -99999999999999999999\n"),
            "run.yaml:1: free is -99999999999999999999, expected an integer (it needs more than "
            "64 bits)");
  EXPECT_EQ(keys_error("free: 9223372036854775807\n"), "no error");
}

TEST(Messages, a_key_of_a_megabyte_is_cut_and_costs_no_time) {
  const std::string key(1 << 20, 'a');
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& message : {keys_error(key + ": 1\n"),
                                     keys_error("optim: {" + key + ": 1}\n"),
                                     keys_error("", {key + "=1"}),
                                     keys_error("seed: " + key + "\n"),
                                     keys_error("splits: {" + key + ": [1]}\n"),
                                     keys_error(key + ": {" + key + ": 1}\n")}) {
    EXPECT_NE(message, "no error");
    EXPECT_LT(message.size(), 400u);
  }
  // Edit distances to every key would take minutes.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace sgrpo::config
