#include "cli/program.h"

namespace sgrpo::cli {
namespace {

const std::vector<std::string> kCommands = {"doctor",
                                            "eval",
                                            "export",
                                            "generate",
                                            "init",
                                            "logprobs",
                                            "preprocess",
                                            "print-config",
                                            "report",
                                            "sft",
                                            "tokenize",
                                            "train",
                                            "verify"};

TEST(Commands, registered_names_include_all_of_this_version) {
  const auto names = CommandRegistry::names();
  for (const std::string& name : kCommands)
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  const Outcome help = run({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const std::string& name : names) {
    const Command command = CommandRegistry::get("command", name)();
    EXPECT_NE(help.out.find("  " + name + " "), std::string::npos) << name;
    EXPECT_NE(help.out.find(command.summary), std::string::npos) << name;
  }
}

TEST(Commands, help_lists_every_flag_with_default_and_range) {
  for (const std::string& name : CommandRegistry::names()) {
    const Outcome help = run({name, "--help"});
    EXPECT_EQ(help.code, 0) << name;
    EXPECT_EQ(help.err, "") << name;
    for (const config::FieldLine& flag : CommandRegistry::get("command", name)().flags) {
      std::string typed = "--" + flag.path;
      std::replace(typed.begin(), typed.end(), '_', '-');
      EXPECT_NE(help.out.find("  " + typed + " "), std::string::npos) << name << " " << typed;
      EXPECT_NE(help.out.find(flag.help), std::string::npos) << name << " " << typed;
      EXPECT_NE(help.out.find(flag.range), std::string::npos) << name << " " << typed;
    }
    for (const char* flag : {"--help", "--json", "--quiet", "--threads"})
      EXPECT_NE(help.out.find(flag), std::string::npos) << name;
    EXPECT_NO_THROW(core::parse_json(run({name, "--help", "--json"}).out, name));
  }
}

TEST(Commands, generate_has_the_documented_flags_and_defaults) {
  const std::string help = run({"generate", "--help"}).out;
  for (const char* line : {"--model DIR",
                           "--input F.jsonl",
                           "--output O.jsonl",
                           "completions per row (default 1, ",
                           "longest completion (default 128, ",
                           "divides the logits (default 1, ",
                           "nucleus; 1 = off (default 1, ",
                           "0 = off (default 0, ",
                           "--greedy ",
                           "of the sampling (default 0, ",
                           "--ignore-eos "})
    EXPECT_NE(help.find(line), std::string::npos) << line << "\n" << help;
  const std::string logprobs = run({"logprobs", "--help"}).out;
  for (const char* flag : {"--temperature", "--sampling-mask", "--grad F.safetensors"})
    EXPECT_NE(logprobs.find(flag), std::string::npos) << flag;
}

TEST(Commands, wrong_command_lines_are_refused_with_what_was_meant) {
  expect_failure(2, "no command given; expected sgrpo <command>", {});
  expect_failure(2, "unknown command 'trian' (did you mean 'train'?)", {"trian"});
  expect_failure(2,
                 "unknown flag --group-sise (did you mean --group-size?)",
                 {"generate", "--group-sise", "4"});
  expect_failure(2, "--model DIR is required: checkpoint folder", {"generate"});
  expect_failure(2, "--output needs a value", {"generate", "--output"});
  expect_failure(
      2,
      "command line: --temperature 0: expected 0.001..1000",
      {"generate", "--model", "m", "--input", "i", "--output", "o", "--temperature", "0"});
  expect_failure(
      2,
      "command line: --group-size many: expected an integer",
      {"generate", "--model", "m", "--input", "i", "--output", "o", "--group-size", "many"});
  expect_failure(
      2,
      "command line: --dtype float16: expected auto | float32 | bfloat16",
      {"generate", "--model", "m", "--input", "i", "--output", "o", "--dtype", "float16"});
  expect_failure(
      2, "this command takes no configuration, so seed=1 has no meaning", {"generate", "seed=1"});
  expect_failure(2, "two configuration files: a.yaml and b.yaml", {"train", "a.yaml", "b.yaml"});
}

class ConfigErrors : public ::testing::Test {
 protected:
  void expect_error(const std::string& yaml,
                    const std::string& message,
                    std::vector<std::string> more = {}) {
    const std::string path = scratch_.write("c.yaml", yaml);
    more.insert(more.begin(), {"train", path});
    const Outcome outcome = run(more);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    const std::string line = scratch_.shorten(outcome.last_error_line());
    EXPECT_EQ(line.substr(0, message.size() + 14), "sgrpo: error: " + message);
  }
  testing::Scratch scratch_;
};

TEST_F(ConfigErrors, name_place_value_and_what_is_expected) {
  expect_error("rollout:\n  group_sise: 8\n",
               "c.yaml:2: unknown key 'rollout.group_sise' (did you mean 'rollout.group_size'?)");
  expect_error("optim: {lr: -1}\n", "c.yaml:1: optim.lr is -1, expected 0..100");
  expect_error("optim: {lr: fast}\n", "c.yaml:1: optim.lr is fast, expected a number");
  expect_error("trainer: {steps: 1.5}\n", "c.yaml:1: trainer.steps is 1.5, expected an integer");
  expect_error("injection: {when: allfail}\n",
               "c.yaml:1: injection.when is allfail, expected never | all_fail | low_reward | "
               "always (did you mean 'all_fail'?)");
  expect_error("seed: 1\nseed: 2\n", "c.yaml:2: ");
  expect_error("rollout: {group_size: 1}\n",
               "rollout.group_size is 1 and injection.mode is replace: ");
  expect_error("rollout: {group_size: 1}\ninjection: {when: never}\n",
               "rollout.group_size is 1, and estimator grpo compares");
  expect_error("per_device_train_batch_size: 4\n", "c.yaml:1: ");
  expect_error("", "model.path is required");
  expect_error("model: {path: m}\n", "data.train is required");
  expect_error("model: {path: m}\ndata: {train: d}\n", "output_dir is required");
  expect_error("verifier: {name: exakt}\n", "c.yaml:1: verifier.name is exakt, expected ");
  expect_error("algorithm: {estimator: grop}\n",
               "c.yaml:1: algorithm.estimator is grop, expected ");
  expect_error("model: {path: none}\ndata: {train: d}\noutput_dir: o\n",
               "none: no such folder; expected a model folder on this machine");
  expect_failure(2, "cannot read none.yaml: No such file", {"train", "none.yaml"});
}

TEST_F(ConfigErrors, inputs_that_do_not_exist_leave_no_output_folder) {
  const std::filesystem::path output = scratch_ / "out";
  const std::string run_config = "output_dir=" + output.string();
  for (const std::string command : {"train", "sft"}) {
    expect_failure(2, "none: no such", {command, "model.path=none", "data.train=d", run_config});
    expect_failure(
        2,
        "cannot read none.jsonl: No such file",
        {command, "model.path=" + scratch_.path().string(), "data.train=none.jsonl", run_config});
  }
  EXPECT_FALSE(std::filesystem::exists(output));
}

TEST(HomeFolder, flags_and_the_configuration_name_files_in_it) {
  testing::Scratch home;
  home.write("c.yaml", "output_dir: ~/out\n");
  const std::string before = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  ::setenv("HOME", home.path().c_str(), 1);
  const Outcome outcome = run({"print-config", "~/c.yaml"});
  expect_failure(2, "cannot read " + (home / "none").string(), {"verify", "--input", "~/none"});
  ::setenv("HOME", before.c_str(), 1);
  EXPECT_NE(outcome.out.find("output_dir: " + (home / "out").string() + "\n"), std::string::npos)
      << outcome.out << outcome.err;
}

TEST(PrintConfig, help_lists_the_names_of_registered_things) {
  const std::string help = run({"print-config", "--help"}).out;
  for (const char* line :
       {"algorithm.estimator: grpo   # name, ", "algorithm.loss: clipped   # name, "})
    EXPECT_NE(help.find(line), std::string::npos) << line;
  for (const char* name : {"rloo", "gspo", "json_equal", "| a name under verifiers"})
    EXPECT_NE(help.find(name), std::string::npos) << name;
}

/// A checkpoint and files to feed it.
class BadRows : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = new testing::Scratch;
    testing::write_tiny_checkpoint(*shared_ / "model");
  }
  static void TearDownTestSuite() { delete shared_; }

  std::string path(const std::string& name) const { return (scratch_ / name).string(); }
  Outcome generate(const std::string& bytes) {
    scratch_.write("in.jsonl", bytes);
    return run({"generate",
                "--model",
                (*shared_ / "model").string(),
                "--input",
                path("in.jsonl"),
                "--output",
                path("out.jsonl"),
                "--max-new-tokens",
                "2"});
  }
  std::vector<core::Json> output() const { return testing::read_jsonl(scratch_ / "out.jsonl"); }
  /// A prompt with one picture.
  static core::Json about(const std::string& id, const std::string& image) {
    return {{"id", id}, {"prompt", "<image>what"}, {"images", {image}}};
  }

  static testing::Scratch* shared_;
  testing::Scratch scratch_;
};
testing::Scratch* BadRows::shared_ = nullptr;

std::string golden_image(const std::string& name) {
  return core::read_file(testing::kRepository / "tests" / "golden" / "image" / "files" / name);
}

TEST_F(BadRows, every_unreadable_image_is_named_and_every_good_row_is_written) {
  const std::string png = testing::make_png(28, 28);
  const std::string jpeg = golden_image("rgb_500x350.jpg");
  // What is written under the name, and how the error goes on behind it; "" = a good image.
  struct Case {
    std::string name, bytes, error;
  };
  const std::vector<Case> cases = {
      {"good.png", png, ""},
      {"truncated.png", png.substr(0, png.size() - 20), ": is truncated: it ends after "},
      {"half.jpg",
       jpeg.substr(0, jpeg.size() / 2),
       ": is truncated: the JPEG ends after 33740 "
       "bytes without its end marker"},
      {"empty.png", "", ": is empty (0 bytes); copy or download the file again"},
      {"tall.png",
       testing::make_png(2, 402),
       ": image of 2x402 pixels has an aspect ratio above 200; crop it or remove the row"},
      {"wide.png",
       testing::make_png(402, 2),
       ": image of 402x2 pixels has an aspect ratio above 200; crop it or remove the row"},
      {"just.png", testing::make_png(2, 400), ""},
      {"bomb.png",
       testing::png_of_rows(30000, 30000, "x"),
       ": declares 30000x30000 pixels, at most 178956970 are decoded; shrink the image"},
      {"pdf.png", "%PDF-1.7\n...", ": is a PDF document, expected a JPEG, PNG, WebP or BMP image"},
      {"text.png", "not an image", ": is of an unknown kind (it begins with 'not an image')"},
      {"lies.png",
       testing::png_of_rows(28, 28, "too few rows"),
       ": is a damaged PNG of 28x28 pixels"},
      {"one.png", testing::make_png(1, 1), ""},
      {"photo.jpg", jpeg, ""},
  };
  std::vector<core::Json> rows = {about("missing.png", "missing.png")};
  for (const Case& one : cases) {
    scratch_.write(one.name, one.bytes);
    rows.push_back(about(one.name, one.name));
  }
  const Outcome outcome = generate(testing::to_jsonl(rows));
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(scratch_.shorten(outcome.last_error_line()),
            "sgrpo: error: 10 bad rows in in.jsonl: each has an {\"id\", \"error\"} row in "
            "out.jsonl; every good row is written");
  const auto written = output();
  ASSERT_EQ(written.size(), rows.size()) << "rows come out in the order of the input";
  EXPECT_EQ(scratch_.shorten(written[0].at("error").get<std::string>()),
            "cannot read missing.png: No such file or directory");
  for (size_t i = 0; i < cases.size(); ++i) {
    const core::Json& row = written[i + 1];
    EXPECT_EQ(row.at("id"), cases[i].name);
    EXPECT_EQ(row.contains("error"), !cases[i].error.empty()) << row;
    if (!row.contains("error")) continue;
    EXPECT_EQ(
        scratch_.shorten(row.at("error").get<std::string>()).find(cases[i].name + cases[i].error),
        0U)
        << row;
  }
}

TEST_F(BadRows, every_malformed_row_gives_an_error_row) {
  scratch_.write("a.png", testing::make_png(28, 28));
  // A line, the id under which it is reported, and its error; "" = a good row.
  struct Case {
    std::string line, id, error;
  };
  const std::string long_text(600, 'w');
  const std::vector<Case> cases = {
      {R"({"id": "bom", "prompt": "a byte order mark before the first row is fine"})", "bom", ""},
      {R"({"id": "crlf", "prompt": "so is a carriage return"})"
       "\r",
       "crlf",
       ""},
      {R"({"id": "more parts", "prompt": "<image><image>", "images": ["a.png"]})",
       "more parts",
       "the prompt has 2 image parts and 'images' has 1 path; give one path per part or <image>"},
      {R"({"id": "more paths", "prompt": "<image>", "images": ["a.png", "a.png"]})",
       "more paths",
       "the prompt has 1 image part and 'images' has 2 paths; give one path per part or <image>"},
      {R"({"id": "string", "prompt": "<image>", "images": "a.png"})",
       "string",
       "'images' is a string, expected a list of paths (a single path goes under 'image')"},
      {R"({"id": "single", "prompt": "<image>", "image": "a.png"})", "single", ""},
      {R"({"id": "number", "prompt": 5})",
       "number",
       "'prompt' is a number, expected a string or a list of messages"},
      {R"({"id": 7.5, "prompt": "x"})", "7", "'id' is a number, expected a string or an integer"},
      {R"({"id": "none", "promt": "x"})",
       "none",
       "the row has no 'prompt' (or 'messages', 'problem', 'conversations'); its columns are id, "
       "promt; is 'promt' one? (did you mean 'prompt'?)"},
      {R"({"id": "role", "prompt": [{"role": "tool", "content": "x"}]})",
       "role",
       "message 1 has role 'tool', expected system, user or assistant"},
      {R"({"id": "pad", "prompt": "x <|image_pad|>"})",
       "pad",
       "the prompt's text contains the placeholder token <|image_pad|>"},
      {R"({"id": "long", "prompt": ")" + long_text + "\"}", "long", "the prompt has "},
      {R"({"id": "twice", "id": "twice", "prompt": "x"})",
       "12",
       "key 'id' appears twice in one object"},
      {"[1, 2]", "13", "the row is a list, expected an object"},
      {"{\"id\": \"utf8\", \"prompt\": \"\xff\"}",
       "14",
       "byte 27 of the line is not UTF-8; save the file as UTF-8"},
      {R"({"id": "last", "prompt": "good)", "15", "the last line is cut; not valid JSON"},
  };
  std::string bytes = "\xEF\xBB\xBF";
  for (size_t i = 0; i < cases.size(); ++i) bytes += (i == 0 ? "" : "\n") + cases[i].line;
  EXPECT_EQ(generate(bytes).code, 2);
  const auto written = output();
  ASSERT_EQ(written.size(), cases.size());
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(written[i].at("id"), i == 7 ? "8" : i >= 12 ? std::to_string(i + 1) : cases[i].id);
    const std::string error =
        written[i].contains("error") ? written[i].at("error").get<std::string>() : "";
    EXPECT_EQ(error.substr(0, cases[i].error.size()), cases[i].error) << written[i];
    EXPECT_EQ(error.empty(), cases[i].error.empty()) << written[i];
  }
}

TEST_F(BadRows, files_that_are_no_rows_are_refused_whole) {
  const auto expect_error = [&](const std::string& bytes, const std::string& message) {
    const Outcome outcome = generate(bytes);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_EQ(scratch_.shorten(outcome.last_error_line()).substr(0, message.size() + 14),
              "sgrpo: error: " + message);
  };
  expect_error("", "in.jsonl: has no rows, expected one JSON object a line");
  expect_error("[{\"prompt\": \"x\"}]\n", "in.jsonl: is a JSON array");
  expect_error("PAR1....", "in.jsonl: is a Parquet file, expected JSONL");
  expect_error("\x1F\x8B....", "in.jsonl: is a gzip file, expected JSONL");
}

TEST_F(BadRows, evaluation_prints_its_result_and_still_says_that_rows_were_bad) {
  scratch_.write("val.jsonl",
                 testing::to_jsonl({about("a", "none.png"), {{"prompt", "x"}, {"answer", "y"}}}));
  const Outcome outcome = run({"eval",
                               "--model",
                               (*shared_ / "model").string(),
                               "--data",
                               path("val.jsonl"),
                               "--json",
                               "rollout.max_new_tokens=2"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.last_error_line(), "sgrpo: error: 1 bad rows were left out (named above)");
  EXPECT_EQ(core::parse_json(outcome.out, "stdout").at("val/val/pass@1"), 0.0);
  EXPECT_NE(outcome.err.find("val.jsonl:1 (id 'a'): cannot read "), std::string::npos);
}

TEST_F(BadRows, evaluation_that_no_verifier_judged_has_no_accuracy_and_fails) {
  scratch_.write("val.jsonl", testing::to_jsonl({{{"prompt", "x"}, {"answer", "y"}}}));
  const Outcome outcome = run({"eval",
                               "--model",
                               (*shared_ / "model").string(),
                               "--data",
                               path("val.jsonl"),
                               "--json",
                               "rollout.max_new_tokens=2",
                               "verifier.truncated=judge",
                               "verifier.name=command",
                               "verifier.params={argv: ['false']}"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.last_error_line(),
            "sgrpo: error: no row of val was judged: the verifier failed on all of them (reasons "
            "above), so there is no accuracy");
  const core::Json result = core::parse_json(outcome.out, "stdout");
  EXPECT_FALSE(result.contains("val/val/pass@1")) << outcome.out;
  EXPECT_EQ(result.at("val/val/n"), 0);
  EXPECT_EQ(result.at("val/val/error"), 1);
  EXPECT_EQ(result.at("val/val/timeout"), 0);
}

TEST_F(BadRows, evaluation_of_a_runs_checkpoint_takes_its_dtype) {
  const auto model = scratch_ / "run/checkpoints/step-000001/model";
  std::filesystem::create_directories(model.parent_path());
  std::filesystem::copy(*shared_ / "model", model, std::filesystem::copy_options::recursive);
  scratch_.write("run/config.yaml", "model: {dtype: bfloat16}\n");
  scratch_.write("val.jsonl", testing::to_jsonl({{{"prompt", "x"}, {"answer", "y"}}}));
  const auto log_of = [&](std::vector<std::string> more) {
    std::vector<std::string> words = {
        "eval", "--model", model.string(), "--data", path("val.jsonl"), "rollout.max_new_tokens=2"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.err;
  };
  EXPECT_NE(log_of({}).find("computing in bfloat16, as "), std::string::npos);
  EXPECT_EQ(log_of({"model.dtype=float32"}).find("computing in"), std::string::npos);
}

TEST_F(BadRows, init_refuses_a_spec_that_it_cannot_build) {
  const auto expect_error = [&](const std::string& yaml, const std::string& message) {
    scratch_.write("s.yaml", yaml);
    const Outcome outcome = run({"init", "--spec", path("s.yaml"), "--output", path("new")});
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_EQ(scratch_.shorten(outcome.last_error_line()).substr(0, message.size() + 14),
              "sgrpo: error: " + message);
    EXPECT_FALSE(std::filesystem::exists(scratch_ / "new"));
  };
  expect_error("tokenizer: t.json\n", "config is required");
  expect_error("config: {model_type: qwen9}\ntokenizer: t.json\n",
               "s.yaml (config): unknown architecture 'qwen9'");
  expect_error("config: {model_type: qwen2_5_vl, dtype: int8}\ntokenizer: t.json\n",
               "s.yaml (config): config.dtype is 'int8', expected float32, bfloat16 or float16");
  const core::Json spec = {{"config", testing::tiny_config()}, {"tokenizer", path("none.json")}};
  expect_error(spec.dump(), "cannot read none.json: No such file or directory");
}

TEST_F(BadRows, report_of_what_is_no_run_is_refused) {
  const Outcome outcome =
      run({"report", "--runs", "[" + scratch_.path().string() + "]", "--output", path("r.html")});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(
      outcome.last_error_line().find(" is not a run: expected config.yaml and metrics.jsonl in it"),
      std::string::npos)
      << outcome.err;
}

}  // namespace
}  // namespace sgrpo::cli
