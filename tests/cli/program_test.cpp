// The program from argument words to exit code, stdout and the last line of stderr.
#include <fstream>
#include <new>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include <c10/util/Exception.h>

#include "cli/program.h"
#include "cli/rows.h"
#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"

namespace sgrpo::cli {
namespace {

/// Throws what its flag names.
struct Thrower {
  static constexpr const char* kSummary = "for tests: fails as asked";
  static constexpr bool kTakesConfig = false;
  std::string what;

  template <class V>
  void visit_fields(V& visit) {
    visit("what", what, config::FieldInfo{.required = true});
  }

  int run(const Invocation&) {
    if (what == "user") throw core::UserError("bad\n  input");
    if (what == "checkpoint") throw core::NoCheckpointError("none");
    if (what == "run") throw core::RunError("disk");
    if (what == "contract") throw core::ContractError("broken");
    if (what == "interrupted") throw core::Interrupted("saved");
    if (what == "memory") throw std::bad_alloc();
    if (what == "c10-memory") TORCH_CHECK_WITH(OutOfMemoryError, false, "no memory");
    if (what == "cpu-allocator") TORCH_CHECK(false, "DefaultCPUAllocator: not enough memory");
    if (what == "c10") TORCH_CHECK_VALUE(false, "wrong shape");
    if (what == "std") throw std::logic_error("odd");
    if (what == "threads")
      throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
    if (what == "int") throw 7;
    return 0;
  }
};
SGRPO_REGISTER_COMMAND("test-thrower", Thrower);

TEST(Program, failure_becomes_its_exit_code_and_one_last_line) {
  const std::vector<std::tuple<const char*, int, const char*>> table = {
      {"user", 2, "bad input"},
      {"checkpoint", 3, "none"},
      {"run", 1, "disk"},
      {"contract", 1, "broken"},
      {"interrupted", 75, "saved"},
      {"memory", 71, "out of memory: an allocation on the host failed"},
      {"c10-memory", 71, "out of memory: no memory"},
      {"threads",
       1,
       "no further thread can be started: raise the limit on processes (ulimit -u, or that of the "
       "container), or lower --threads"},
      {"cpu-allocator", 71, "out of memory: DefaultCPUAllocator: not enough memory"},
      {"c10", 1, "wrong shape"},
      {"std", 1, "odd"},
      {"int", 1, "an unknown exception ended the command"},
  };
  for (const auto& [what, code, message] : table) {
    const Outcome outcome = run({"test-thrower", "--what", what});
    EXPECT_EQ(outcome.code, code) << what;
    EXPECT_EQ(outcome.last_error_line(), "sgrpo: error: " + std::string(message)) << what;
  }
  EXPECT_EQ(run({"test-thrower", "--what", "nothing"}).code, 0);
}

TEST(Program, unknown_or_missing_command_is_a_usage_error) {
  const Outcome missing = run({});
  EXPECT_EQ(missing.code, 2);
  EXPECT_NE(missing.out.find("  print-config  "), std::string::npos) << missing.out;
  const Outcome unknown = run({"print-confg"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_EQ(
      unknown.last_error_line().find("sgrpo: error: unknown command 'print-confg' (did you mean "
                                     "'print-config'?); known: "),
      0u)
      << unknown.last_error_line();
}

TEST(Program, registered_commands_are_all_linked) {
  for (const char* name : {"train",
                           "sft",
                           "eval",
                           "generate",
                           "logprobs",
                           "tokenize",
                           "preprocess",
                           "init",
                           "export",
                           "verify",
                           "print-config",
                           "doctor"}) {
    EXPECT_TRUE(CommandRegistry::contains(name)) << name;
  }
}

TEST(Program, every_command_has_help_and_json_help) {
  for (const std::string& name : CommandRegistry::names()) {
    EXPECT_EQ(run({name, "--help"}).out.find("sgrpo " + name + ": "), 0u) << name;
    const Outcome json = run({name, "--help", "--json"});
    EXPECT_EQ(core::parse_json(json.out, name)["command"], name);
  }
}

TEST(PrintConfig, overrides_are_marked_and_json_lists_differences) {
  const Outcome text = run({"print-config", "num_generations=4"});
  EXPECT_EQ(text.code, 0);
  EXPECT_NE(text.out.find("\n  group_size: 4  # default 8\n"), std::string::npos) << text.out;
  const Outcome json = run({"print-config", "--json", "--rollout.group_size", "4"});
  const core::Json result = core::parse_json(json.out, "stdout");
  EXPECT_EQ(result["config"]["rollout"]["group_size"], 4);
  EXPECT_EQ(result["differences"].dump(), R"j(["rollout.group_size: 4 (default 8)"])j");
  EXPECT_EQ(run({"print-config", "rollout.gruop_size=4"}).last_error_line(),
            "sgrpo: error: command line: rollout.gruop_size=4: unknown key 'rollout.gruop_size' "
            "(did you mean 'rollout.group_size'?)");
}

TEST(Doctor, report_names_machine_libraries_and_device) {
  const Outcome outcome = run({"doctor", "--json", "model.device=cpu"});
  EXPECT_EQ(outcome.code, 0) << outcome.last_error_line();
  const core::Json report = core::parse_json(outcome.out, "stdout");
  EXPECT_GE(report["machine"]["cores"].get<int>(), 1);
  EXPECT_EQ(report["libraries"]["torch"], "2.11.0");
  EXPECT_EQ(report["would_use"]["device"], "cpu");
  EXPECT_EQ(report["folders"]["temporary"]["writable"], true);
}

TEST(Rows, bad_row_is_written_and_counted_and_good_ones_follow) {
  std::istringstream in("\xEF\xBB\xBF{\"id\": \"a\"}\n\n{broken\n{\"id\": 7, \"x\": 1}\r\n");
  std::ostringstream out;
  RowWriter writer(out);
  for_each_row(in, "in", writer, [&](const core::Json& row, int64_t line) {
    if (row.contains("x")) throw core::UserError("no x, please");
    writer.write({{"line", line}});
  });
  const std::vector<std::string> lines = core::split(out.str(), '\n');
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0], R"({"line":1})");
  EXPECT_EQ(lines[1].find(R"({"error":"in:3: not valid JSON: )"), 0u) << lines[1];
  EXPECT_EQ(lines[2], R"({"id":7,"error":"no x, please"})");
  try {
    writer.finish();
    FAIL() << "no error";
  } catch (const core::UserError& error) {
    EXPECT_EQ(std::string(error.what())
                  .find("2 of 3 rows are bad (each has an error row in the output); the first: "
                        "in:3: not valid JSON: "),
              0u)
        << error.what();
  }
}

TEST(Rows, failure_that_is_no_rows_fault_ends_the_command) {
  std::istringstream in("{}\n{}\n");
  std::ostringstream out;
  RowWriter writer(out);
  EXPECT_THROW(
      for_each_row(
          in, "in", writer, [](const core::Json&, int64_t) { throw NotTheRowError("folder"); }),
      NotTheRowError);
  EXPECT_EQ(out.str(), "");
}

const std::string kModel = std::string(SGRPO_TESTS_DIR) + "/golden/data/model";

TEST(Tokenize, texts_and_prompts_give_ids_and_bad_rows_an_error) {
  const Outcome outcome = run({"tokenize", "--model", kModel},
                              "{\"text\": \"Hi<|im_end|>\"}\n"
                              "{\"id\": 3, \"text\": 5}\n"
                              "{\"prompt\": \"Hi\"}\n"
                              "{\"text\": \"a\", \"prompt\": \"b\"}\n");
  EXPECT_EQ(outcome.code, 2);
  const std::vector<std::string> lines = core::split(core::trim(outcome.out), '\n');
  ASSERT_EQ(lines.size(), 4u) << outcome.out;
  EXPECT_EQ(core::parse_json(lines[0], "row")["text"], "Hi<|im_end|>");
  EXPECT_EQ(lines[1], R"({"id":3,"error":"stdin:2: 'text' is an integer, expected a string"})");
  const std::string prompt = core::parse_json(lines[2], "row")["text"].get<std::string>();
  EXPECT_NE(prompt.find("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
            std::string::npos)
      << prompt;
  EXPECT_EQ(lines[3], R"({"error":"stdin:4: both 'text' and 'prompt'; expected one of them"})");
  EXPECT_EQ(outcome.last_error_line().find("sgrpo: error: 2 of 4 rows are bad"), 0u)
      << outcome.last_error_line();
}

TEST(Tokenize, text_needs_no_more_than_the_tokenizer_file) {
  const testing::Scratch folder;
  std::filesystem::copy_file(kModel + "/tokenizer.json", folder.path() / "tokenizer.json");
  const Outcome outcome =
      run({"tokenize", "--model", folder.path().string()}, "{\"text\": \"Hi\"}\n");
  EXPECT_EQ(outcome.code, 0) << outcome.last_error_line();
  EXPECT_EQ(core::parse_json(outcome.out, "row")["text"], "Hi");
}

TEST(Verify, completions_are_judged_and_summed_up) {
  const testing::Scratch folder;
  const std::string path = (folder.path() / "rows.jsonl").string();
  core::write_file_atomic(path,
                          "{\"id\": \"a\", \"ground_truth\": \"x\", \"completions\": [\"x\", "
                          "\"y\"]}\n"
                          "{\"id\": \"b\", \"ground_truth\": \"x\", \"completion\": \"x\"}\n"
                          "{\"id\": \"c\", \"ground_truth\": \"x\"}\n");
  const Outcome outcome = run({"verify", "--verifier", "exact", "--input", path, "--json"});
  EXPECT_EQ(outcome.code, 2);
  const std::vector<std::string> lines = core::split(core::trim(outcome.out), '\n');
  ASSERT_EQ(lines.size(), 5u) << outcome.out;
  EXPECT_EQ(core::parse_json(lines[0], "row")["id"], "c");
  EXPECT_EQ(lines[1],
            R"({"id":"a","index":0,"status":"correct","reward":1.0,"answer":"x",)"
            R"("answer_span":{"begin":0,"end":1}})");
  EXPECT_EQ(lines[2],
            R"({"id":"a","index":1,"status":"incorrect","reward":0.0,"answer":"y",)"
            R"("answer_span":{"begin":0,"end":1}})");
  EXPECT_EQ(lines[3],
            R"({"id":"b","index":0,"status":"correct","reward":1.0,"answer":"x",)"
            R"("answer_span":{"begin":0,"end":1}})");
  const core::Json summary = core::parse_json(lines[4], "row")["summary"];
  EXPECT_EQ(summary["completions"], 3);
  EXPECT_EQ(summary["status"]["correct"], 2);
  EXPECT_EQ(run({"verify", "--verifier", "exct", "--input", path}).code, 2);
}

}  // namespace
}  // namespace sgrpo::cli
