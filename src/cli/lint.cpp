// sgrpo lint: a data set checked without a GPU and without weights.
#include <iostream>

#include "cli/lint_summary.h"
#include "cli/rows.h"
#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/core/log.h"
#include "sgrpo/data/lint.h"
#include "sgrpo/data/stream.h"
#include "sgrpo/eval/lint.h"
#include "sgrpo/policy/encoder.h"
#include "sgrpo/trainer/evaluation.h"
#include "sgrpo/trainer/load_config.h"
#include "sgrpo/trainer/trainer.h"

namespace sgrpo::cli {
namespace {

using core::Json;
using core::str;

/// A file to check.
struct LintFile {
  std::string path;
  bool is_train = true;  // counts towards data.max_bad_fraction
};

/// What the rows are for.
enum class LintTask { kAny, kTrain, kSft };
constexpr auto names_of(LintTask) { return std::array{"any", "train", "sft"}; }

struct Lint {
  static constexpr const char* kSummary = "check a data set without a GPU";
  static constexpr bool kTakesConfig = true;

  std::optional<std::string> data, model, verifier;
  data::ImageCheck images = data::ImageCheck::kHeader;
  LintTask task = LintTask::kAny;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("data",
          data,
          FieldInfo{.help = "rows to check; null = data.train and data.eval of the configuration",
                    .unit = "F.jsonl",
                    .is_path = true});
    visit("model",
          model,
          FieldInfo{.help = "checkpoint folder, to count tokens; null = model.path",
                    .unit = "DIR",
                    .is_path = true});
    visit("verifier",
          verifier,
          FieldInfo{.help = "a built-in, or an instance under verifiers; null = each row's own",
                    .unit = "NAME"});
    visit("images",
          images,
          FieldInfo{.help = "header: the file exists, is complete and has a size; full: decode, "
                            "resize and patch it, and report what that costs"});
    visit("task",
          task,
          FieldInfo{.help = "sft: a row without completion and ground truth is bad, and "
                            "rollout.max_new_tokens does not limit it; train: a prompt that ends "
                            "with an assistant turn is bad; any: as train, but such prompts are "
                            "counted only"});
  }

  static std::string details() {
    return "stdout: {\"id\", \"error\"} for every bad row, the error naming file, line and every "
           "reason;\n--json adds a last line {\"summary\": ...}, else the summary is on stderr. "
           "Exit code 2 if a row is bad.\n\n"
           "A problem is one of: row (cannot be parsed), duplicate_id, image, prompt,\n"
           "long_prompt (data.max_prompt_tokens), ground_truth, long_ground_truth\n"
           "(rollout.max_new_tokens), completion (sft, or trainer.sft_steps > 0), verifier (it\n"
           "does not accept the row's ground truth, or there is none of that name). Lengths and\n"
           "completions concern the rows of data.train, not those of data.eval. All but\n"
           "duplicate_id and verifier make a run leave the row out.\n"
           "The summary counts, too: rows without ground truth (nothing can be injected for\n"
           "them), rows that repeat an earlier row's prompt and images, prompts that end with an\n"
           "assistant turn (the completion of sft, refused elsewhere), tokens.\n";
  }

  int run(const Invocation& invocation) {
    const trainer::RunConfig config =
        trainer::load_run_config(invocation.config, invocation.overrides);
    const verifier::VerifierSet verifiers = make_verifiers(config);
    const data::LintOptions options = lint_options(config);
    const data::LintOptions stream = stream_options(options, config);
    RowWriter writer(std::cout);
    LintSummary summary(config.data);
    for (const LintFile& file : files(config)) {
      std::vector<data::LintedRow> rows =
          data::lint_file(file.path, file.is_train ? stream : options);
      eval::lint_ground_truths(verifiers, verifier.value_or(""), rows);
      for (const data::LintedRow& row : rows) {
        summary.add(row, file.is_train);
        if (!row.problems.empty()) writer.write_error(row.id, row.message());
      }
    }
    summary.set_images(*options.catalog, options.images == data::ImageCheck::kFull);
    if (invocation.json) {
      std::cout << core::dump_ascii({{"summary", summary.to_json()}}) << "\n";
    } else {
      summary.log();
    }
    return finish(summary);
  }

 private:
  static int finish(const LintSummary& summary) {
    if (summary.num_bad() == 0) return 0;
    throw core::UserError(str(summary.num_bad(),
                              " of ",
                              summary.num_rows(),
                              summary.num_rows() == 1 ? " row is bad" : " rows are bad",
                              " (each has an error row in the output)"));
  }

  std::vector<LintFile> files(const trainer::RunConfig& config) const {
    if (data) return {{*data}};
    std::vector<LintFile> result;
    if (!config.data.train.is_null()) {
      for (const data::TrainEntry& entry : data::train_entries(config.data.train))
        result.push_back({entry.path});
    }
    for (const auto& [name, path] : config.data.eval)
      result.push_back({.path = path, .is_train = false});
    if (result.empty())
      throw UsageError("--data F.jsonl is required, or a configuration that names data.train");
    return result;
  }

  data::LintOptions lint_options(const trainer::RunConfig& config) const {
    data::LintOptions options;
    options.rows = data::row_options(config.data);
    options.images = images;
    options.takes_last_turn = task != LintTask::kTrain;
    options.encoder = open_encoder(config);
    options.catalog = std::make_shared<data::ImageCatalog>(
        options.images, options.encoder ? options.encoder->spec().processor : std::nullopt);
    return options;
  }

  /// What rows that are trained on must fulfil besides.
  data::LintOptions stream_options(data::LintOptions options,
                                   const trainer::RunConfig& config) const {
    options.requires_completion = task == LintTask::kSft;
    options.rows.ground_truth_template = config.injection.gt_template;
    options.requires_ground_truth = task != LintTask::kSft && config.trainer.sft_steps > 0;
    if (options.encoder) {
      options.encoder = std::make_shared<data::PromptEncoder>(trainer::with_stream_limits(
          options.encoder->spec(),
          config,
          task == LintTask::kSft ? trainer::Task::kSft : trainer::Task::kPolicyGradient));
    }
    return options;
  }

  /// Null without a model.
  std::shared_ptr<const data::PromptEncoder> open_encoder(const trainer::RunConfig& config) const {
    const std::string path = model.value_or(config.model.path);
    if (path.empty()) return nullptr;
    const checkpoint::ModelFolder folder(path, checkpoint::Digits::kRounded);
    core::info("opened ", folder.describe());
    policy::EncoderLimits limits = trainer::eval_limits(config);
    limits.takes_last_turn = task != LintTask::kTrain;
    return policy::open_encoder(folder, limits);
  }

  /// --verifier takes the place of the run's default and of every row's choice.
  verifier::VerifierSet make_verifiers(const trainer::RunConfig& config) const {
    verifier::VerifierOptions options = config.verifier;
    const bool is_new =
        verifier && !config.verifiers.contains(*verifier) && options.name.name() != *verifier;
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
