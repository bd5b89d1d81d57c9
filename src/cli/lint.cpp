// sgrpo lint: a data set checked without a GPU and without weights.
#include <iostream>
#include <map>

#include "cli/rows.h"
#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/core/log.h"
#include "sgrpo/data/lint.h"
#include "sgrpo/data/stream.h"
#include "sgrpo/eval/lint.h"
#include "sgrpo/eval/policy.h"
#include "sgrpo/trainer/load_config.h"

namespace sgrpo::cli {
namespace {

using core::Json;
using core::str;
using data::LintedRow;

data::ImageCheck image_check(const std::string& name) {
  if (name == "none") return data::ImageCheck::kNone;
  return name == "full" ? data::ImageCheck::kFull : data::ImageCheck::kHeader;
}

Json to_json(const data::TokenSummary& tokens) {
  return {{"count", tokens.count},
          {"mean", tokens.mean},
          {"p50", tokens.p50},
          {"p90", tokens.p90},
          {"p99", tokens.p99},
          {"max", tokens.max}};
}

/// What the summary says, over all files.
struct Totals {
  int64_t rows = 0, bad_rows = 0, images = 0, missing_ground_truth = 0;
  std::map<std::string, int64_t> problems;  // rows by check; a row may have several
  std::vector<int64_t> prompt_tokens, ground_truth_tokens;

  void add(const LintedRow& row) {
    ++rows;
    bad_rows += !row.problems.empty();
    std::map<std::string, bool> checks;
    for (const data::Problem& problem : row.problems) checks[problem.check] = true;
    for (const auto& [check, seen] : checks) ++problems[check];
    prompt_tokens.push_back(row.prompt_tokens);
    ground_truth_tokens.push_back(row.ground_truth_tokens);
    if (row.record == nullptr) return;
    images += static_cast<int64_t>(row.record->images.size());
    missing_ground_truth += !row.record->injected_text().has_value();
  }

  Json report() const {
    return {{"rows", rows},
            {"bad_rows", bad_rows},
            {"problems", Json(problems)},
            {"images", images},
            {"missing_ground_truth", missing_ground_truth},
            {"prompt_tokens", to_json(data::summarise_tokens(prompt_tokens))},
            {"ground_truth_tokens", to_json(data::summarise_tokens(ground_truth_tokens))}};
  }
};

void log_tokens(const char* name, const std::vector<int64_t>& values) {
  const data::TokenSummary tokens = data::summarise_tokens(values);
  if (tokens.count == 0) return;
  core::info(name,
             " tokens of ",
             tokens.count,
             " rows: mean ",
             tokens.mean,
             ", p50 ",
             tokens.p50,
             ", p90 ",
             tokens.p90,
             ", p99 ",
             tokens.p99,
             ", max ",
             tokens.max);
}

void log_summary(const Totals& totals) {
  core::info(totals.rows,
             " rows, ",
             totals.images,
             " images; ",
             totals.bad_rows,
             " bad rows, ",
             totals.missing_ground_truth,
             " rows without ground truth");
  for (const auto& [check, count] : totals.problems) core::info("  ", check, ": ", count, " rows");
  log_tokens("prompt", totals.prompt_tokens);
  log_tokens("ground-truth", totals.ground_truth_tokens);
}

struct Lint {
  static constexpr const char* kSummary = "check a data set without a GPU";
  static constexpr bool kTakesConfig = true;

  std::optional<std::string> data, model, verifier;
  std::string images = "header";

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("data",
          data,
          FieldInfo{.help = "rows to check; null = data.train and data.eval of the configuration",
                    .unit = "F.jsonl"});
    visit(
        "model",
        model,
        FieldInfo{.help = "checkpoint folder, to count tokens; null = model.path", .unit = "DIR"});
    visit("verifier",
          verifier,
          FieldInfo{.help = "a built-in, or an instance under verifiers; null = each row's own",
                    .unit = "NAME"});
    visit("images",
          images,
          FieldInfo{.help = "header: the file exists, is complete and has a size; full: decode it",
                    .choices = {"none", "header", "full"}});
  }

  static std::string details() {
    return "stdout: {\"id\", \"error\"} for every bad row, the error naming file, line and every "
           "reason;\n--json adds a last line {\"summary\": ...}, else the summary is on stderr. "
           "Exit code 2 if a row is bad.\n\n"
           "A problem is one of: row (cannot be parsed), duplicate_id, image, prompt,\n"
           "long_prompt (data.max_prompt_tokens), ground_truth, long_ground_truth\n"
           "(rollout.max_new_tokens), verifier (it does not accept the row's ground truth).\n"
           "Rows without ground truth are counted: nothing can be injected for them.\n";
  }

  int run(const Invocation& invocation) {
    const trainer::RunConfig config =
        trainer::load_run_config(invocation.config, invocation.overrides);
    const verifier::VerifierSet verifiers = make_verifiers(config);
    data::LintOptions options;
    options.rows = data::row_options(config.data);
    options.images = image_check(images);
    options.encoder = open_encoder(config);

    RowWriter writer(std::cout);
    Totals totals;
    for (const std::string& path : paths(config)) {
      std::vector<LintedRow> rows = data::lint_file(path, options);
      eval::lint_ground_truths(verifiers, verifier.value_or(""), rows);
      for (const LintedRow& row : rows) {
        totals.add(row);
        if (!row.problems.empty()) writer.write_error(row.id, row.message());
      }
    }
    if (invocation.json) {
      std::cout << core::dump_ascii({{"summary", totals.report()}}) << "\n";
    } else {
      log_summary(totals);
    }
    return finish(totals);
  }

 private:
  static int finish(const Totals& totals) {
    if (totals.bad_rows == 0) return 0;
    throw core::UserError(str(totals.bad_rows,
                              " of ",
                              totals.rows,
                              totals.rows == 1 ? " row is bad" : " rows are bad",
                              " (each has an error row in the output)"));
  }

  std::vector<std::string> paths(const trainer::RunConfig& config) const {
    if (data) return {*data};
    std::vector<std::string> result;
    const Json& train = config.data.train;
    const Json entries = train.is_array() ? train : Json::array({train});
    for (const Json& entry : entries) {
      if (entry.is_string()) result.push_back(entry.get<std::string>());
      if (entry.is_object()) result.push_back(core::get_string(entry, "path", "data.train"));
    }
    for (const auto& [name, path] : config.data.eval) result.push_back(path);
    if (result.empty())
      throw UsageError("--data F.jsonl is required, or a configuration that names data.train");
    return result;
  }

  /// Null without a model.
  std::shared_ptr<const data::PromptEncoder> open_encoder(const trainer::RunConfig& config) const {
    const std::string folder = model.value_or(config.model.path);
    if (folder.empty()) return nullptr;
    return eval::open_encoder(checkpoint::ModelFolder(folder),
                              eval::encoder_limits(config.data, config.rollout.max_new_tokens));
  }

  /// --verifier takes the place of the run's default and of every row's choice.
  verifier::VerifierSet make_verifiers(const trainer::RunConfig& config) const {
    verifier::VerifierOptions options = config.verifier;
    const bool is_new =
        verifier && !config.verifiers.contains(*verifier) && options.name != *verifier;
    if (is_new) {
      options.name = *verifier;
      options.params = Json::object();
    }
    return {options, config.verifiers, verifier ? Json::array() : config.rewards};
  }
};

SGRPO_REGISTER_COMMAND("lint", Lint);

}  // namespace
}  // namespace sgrpo::cli
