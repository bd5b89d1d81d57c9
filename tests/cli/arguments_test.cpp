#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/help.h"
#include "sgrpo/cli/command.h"

namespace sgrpo::cli {
namespace {

/// What the command below received, for the tests.
struct Seen {
  std::string model;
  int64_t group_size = 0;
  bool greedy = false;
  bool shuffle = false;
  core::Json params;
  Invocation invocation;
};
Seen seen;

template <bool takes_config>
struct Example {
  static constexpr const char* kSummary = "an example";
  static constexpr bool kTakesConfig = takes_config;
  static std::string details() { return "more\n"; }

  std::string model;
  int64_t group_size = 1;
  bool greedy = false;
  bool shuffle = true;
  core::Json params = core::Json::object();

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("model", model, FieldInfo{.help = "checkpoint", .unit = "DIR", .required = true});
    visit("group_size", group_size, FieldInfo{.help = "per row", .low = 1, .high = 64});
    visit("greedy", greedy, FieldInfo{.help = "likeliest token"});
    visit("shuffle", shuffle, FieldInfo{.help = "mix"});
    visit("params", params, FieldInfo{.help = "parameters", .unit = "JSON"});
  }

  int run(const Invocation& invocation) {
    seen = {model, group_size, greedy, shuffle, params, invocation};
    return 0;
  }
};

template <bool takes_config>
Arguments parse(const std::vector<std::string>& words) {
  seen = {};
  const Command command = make_command<Example<takes_config>>();
  Arguments arguments = parse_arguments(command, words);
  if (!arguments.help) command.run(arguments.flags, arguments.invocation);
  return arguments;
}

template <bool takes_config>
std::string parse_error(const std::vector<std::string>& words) {
  try {
    parse<takes_config>(words);
  } catch (const core::UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Arguments, parse_flags_in_every_spelling) {
  parse<false>({"--model", "a b", "--group-size=4", "--greedy", "--no-shuffle"});
  EXPECT_EQ(seen.model, "a b");
  EXPECT_EQ(seen.group_size, 4);
  EXPECT_TRUE(seen.greedy);
  EXPECT_FALSE(seen.shuffle);
  parse<false>({"--model=[x].yaml", "--group_size", "2", "--group-size", "3", "--shuffle=false"});
  EXPECT_EQ(seen.model, "[x].yaml");
  EXPECT_EQ(seen.group_size, 3);
  EXPECT_FALSE(seen.shuffle);
  parse<false>({"--model", "-", "--params", "{words: [a, 'b']}"});
  EXPECT_EQ(seen.model, "-");
  EXPECT_EQ(seen.params.dump(), R"({"words":["a","b"]})");
}

TEST(Arguments, parse_config_and_overrides_in_order) {
  parse<true>({"run.yaml", "--model", "m", "rollout.group_size=4", "--optim.lr", "-1", "--seed=3"});
  EXPECT_EQ(seen.invocation.config, "run.yaml");
  EXPECT_EQ(seen.invocation.overrides,
            (std::vector<std::string>{"rollout.group_size=4", "optim.lr=-1", "seed=3"}));
  parse<true>({"--config", "runs/x=1.yaml", "--model", "m", "--num-generations", "2", "--json"});
  EXPECT_EQ(seen.invocation.config, "runs/x=1.yaml");
  EXPECT_EQ(seen.invocation.overrides, std::vector<std::string>{"num_generations=2"});
  EXPECT_TRUE(seen.invocation.json);
  parse<true>({"--model", "m", "runs/x=1.yaml"});
  EXPECT_EQ(seen.invocation.config, "runs/x=1.yaml");
}

TEST(Arguments, parse_global_flags) {
  EXPECT_TRUE(parse<false>({"-h"}).help);
  EXPECT_TRUE(parse<false>({"--model", "m", "--quiet"}).quiet);
  EXPECT_EQ(parse<false>({"--model", "m", "--threads", "3"}).threads, 3);
}

TEST(Arguments, wrong_words_say_what_is_expected) {
  EXPECT_EQ(parse_error<false>({"--modle", "m"}), "unknown flag --modle (did you mean --model?)");
  EXPECT_EQ(parse_error<true>({"--gropu-size", "1"}),
            "unknown flag --gropu-size (did you mean --group-size?)");
  EXPECT_EQ(parse_error<true>({"--use-vllm", "1"}),
            "--use-vllm is not a flag of sgrpo: completions are sampled by this program itself, "
            "without an inference server: leave it out");
  EXPECT_EQ(parse_error<true>({"--temperature", "1"}),
            "unknown flag --temperature (did you mean --rollout.temperature or "
            "--eval.temperature?)");
  EXPECT_LT(parse_error<true>({"--" + std::string(100'000, 'x')}).size(), 200u);
  EXPECT_EQ(parse_error<false>({"--something-else"}), "unknown flag --something-else; see --help");
  EXPECT_EQ(parse_error<false>({"--model"}), "--model needs a value");
  EXPECT_EQ(parse_error<false>({"--model", "--greedy"}), "--model needs a value");
  EXPECT_EQ(parse_error<false>({}), "--model DIR is required: checkpoint");
  EXPECT_EQ(parse_error<false>({"--model", "m", "x"}), "unexpected argument 'x'; see --help");
  EXPECT_EQ(parse_error<false>({"--model", "m", "a.b=x"}),
            "this command takes no configuration, so a.b=x has no meaning; --help lists its flags");
  EXPECT_EQ(parse_error<true>({"a.yaml", "b.yaml"}),
            "two configuration files: a.yaml and b.yaml; expected one");
  EXPECT_EQ(parse_error<true>({"-x"}), "unexpected argument '-x'; see --help");
  EXPECT_EQ(parse_error<false>({"--model", "m", "--group-size", "x"}),
            "command line: --group-size x: expected an integer");
  EXPECT_EQ(parse_error<false>({"--model", "m", "--group-size", "0"}),
            "command line: --group-size 0: expected 1..64");
  EXPECT_EQ(parse_error<false>({"--model", "m", "--greedy=maybe"}),
            "command line: --greedy maybe: expected true or false");
}

TEST(Help, command_help_lists_usage_flags_and_details) {
  EXPECT_EQ(command_help("example", make_command<Example<true>>()),
            R"(sgrpo example: an example

usage: sgrpo example [config.yaml] --model DIR [--flag value ...] [key.sub=value ...]

flags:
  --model DIR                 checkpoint (required)
  --group-size N              per row (default 1, 1..64)
  --greedy                    likeliest token
  --shuffle                   mix (default true)
  --params JSON               parameters (default {})
  --config FILE               the configuration, as the first argument
  --help                      this text
  --json                      results as JSON on stdout
  --quiet                     warnings and errors only on stderr
  --threads N                 CPU threads; null = OMP_NUM_THREADS, else the cores at hand (1..4096)

more
)");
}

}  // namespace
}  // namespace sgrpo::cli
