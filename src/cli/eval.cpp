// sgrpo eval: accuracy, pass@k and maj@k of a checkpoint on any splits.
#include <iomanip>
#include <iostream>

#include "cli/rows.h"
#include "sgrpo/checkpoint/adapter_folder.h"
#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/text.h"
#include "sgrpo/eval/evaluate.h"
#include "sgrpo/telemetry/telemetry.h"
#include "sgrpo/trainer/evaluation.h"
#include "sgrpo/trainer/load_config.h"

namespace sgrpo::cli {
namespace {

struct Eval {
  static constexpr const char* kSummary =
      "accuracy, pass@k, maj@k per split, by the same code as validation in training";
  static constexpr bool kTakesConfig = true;

  std::optional<std::string> model, data, output;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("model",
          model,
          FieldInfo{.help = "checkpoint; null = model.path", .unit = "DIR", .is_path = true});
    visit("data",
          data,
          FieldInfo{.help = "one split named after the file; null = all of data.eval",
                    .unit = "F.jsonl",
                    .is_path = true});
    visit("output",
          output,
          FieldInfo{.help = "also write every completion with its verdict",
                    .unit = "O.jsonl",
                    .is_path = true});
  }

  static std::string details() {
    return "Beside every accuracy stands NAME/n, the rows it covers; n, error and timeout count "
           "the "
           "rows that were\njudged, whose verifier failed, and whose verifier was late. What was "
           "not judged is in no mean, and a\nmean over nothing is absent. Exit code: 2 when rows "
           "were bad, 1 when a split judged nothing, else 0.\nWithout a configuration, a "
           "checkpoint "
           "of ours is computed in its run's model.dtype.\n";
  }

  int run(const Invocation& invocation) {
    trainer::RunConfig config = trainer::load_run_config(invocation.config, invocation.overrides);
    if (model) {
      config.model.path = *model;
      if (!invocation.config) use_dtype_of_run(invocation.overrides, config.model);
    }
    if (data) config.data.eval = {{std::filesystem::path(*data).stem().string(), *data}};
    config::require(config, {"model.path"});
    if (config.data.eval.empty()) {
      throw UsageError("eval needs splits: data.eval in the configuration, or --data F.jsonl");
    }
    if (output) check_output(config, invocation);
    const verifier::VerifierSet verifiers(config.verifier, config.verifiers, config.rewards);
    const auto policy = policy::open(config.model.path, config.model, trainer::eval_limits(config));
    StepReport report;
    std::vector<std::string> unjudged;
    std::optional<core::AppendFile> rows;
    if (output) rows.emplace(*output, core::AppendFile::Open::kReplace);
    int64_t num_rejected = 0;
    for (const auto& [name, path] : config.data.eval) {
      const auto result = evaluate_split(*policy, verifiers, config, name, path);
      report.merge(eval::metrics_of(name, result.sums));
      num_rejected += result.sums.rejected;
      if (result.sums.judged == 0) unjudged.push_back(name);
      if (rows) write_rows(name, result, *rows);
    }
    print(report, invocation.json);
    if (num_rejected > 0) {
      throw core::UserError(core::str(num_rejected, " bad rows were left out (named above)"));
    }
    if (!unjudged.empty()) {
      throw core::RunError(core::str("no row of ",
                                     core::join(unjudged, ", "),
                                     " was judged: the verifier failed on all of them (reasons "
                                     "above), so there is no accuracy"));
    }
    return 0;
  }

 private:
  void check_output(const trainer::RunConfig& config, const Invocation& invocation) const {
    if (invocation.config) core::check_not_input(*output, *invocation.config);
    core::check_not_input(*output, config.model.path);
    for (const auto& [name, path] : config.data.eval) core::check_not_input(*output, path);
  }

  /// Validation's numbers are those of the run's dtype: it is the one to evaluate its checkpoint
  /// in.
  static void use_dtype_of_run(const std::vector<std::string>& overrides,
                               model::ModelOptions& mutable_options) {
    for (const std::string& text : overrides) {
      if (core::starts_with(text, "model")) return;  // the user says it
    }
    const checkpoint::ModelFolder folder(mutable_options.path);
    const std::filesystem::path opened =
        folder.adapter() ? folder.adapter()->folder() : folder.folder();
    const std::filesystem::path checkpoints = opened.parent_path().parent_path();
    const std::filesystem::path yaml = checkpoints.parent_path() / "config.yaml";
    if (checkpoints.filename() != "checkpoints" || !std::filesystem::exists(yaml)) return;
    const config::Node run = config::load_yaml(yaml);
    const config::Node* section = run.find("model");
    const config::Node* dtype = section == nullptr ? nullptr : section->find("dtype");
    const auto known =
        dtype == nullptr ? std::nullopt : core::from_name<model::Dtype>(dtype->scalar);
    if (!known || *known == model::Dtype::kAuto) return;
    mutable_options.dtype = *known;
    core::info("computing in ", dtype->scalar, ", as ", yaml.string(), " says");
  }

  static eval::EvalResult evaluate_split(const policy::Policy& policy,
                                         const verifier::VerifierSet& verifiers,
                                         const trainer::RunConfig& config,
                                         const std::string& name,
                                         const std::string& path) {
    const data::EvalSet split = data::load_eval_set(name, path, config.data);
    const eval::EvalJob job = trainer::eval_job(config);
    telemetry::Progress progress("eval " + name, static_cast<int64_t>(split.records.size()));
    return eval::evaluate(
        policy, verifiers, split, job, [&](int64_t done) { progress.advance(done); });
  }

  static void write_rows(const std::string& split,
                         const eval::EvalResult& result,
                         core::AppendFile& out) {
    for (const eval::EvalRow& row : result.rows) {
      for (const GroupMember& sample : row.samples) {
        out.append(core::dump_ascii({{"split", split},
                                     {"id", row.record->id},
                                     {"index", sample.completion.sample_index},
                                     {"completion", sample.completion.text},
                                     {"ground_truth", row.record->ground_truth.value_or("")},
                                     {"reward", sample.verdict.reward},
                                     {"status", to_string(sample.verdict.status)},
                                     {"answer", sample.verdict.answer}}) +
                   "\n");
      }
    }
  }

  static void print(const StepReport& report, bool json) {
    if (json) {
      core::Json object = core::Json::object();
      for (const auto& [name, value] : report.values()) {
        object[name] = is_count(name) ? core::Json(static_cast<int64_t>(value)) : core::Json(value);
      }
      std::cout << core::dump_ascii(object) << "\n";
      return;
    }
    for (const auto& [name, value] : report.values()) {
      std::cout << std::left << std::setw(44) << name << std::fixed
                << std::setprecision(is_count(name) ? 0 : 4) << value << "\n";
    }
  }

  static bool is_count(const std::string& metric) {
    for (const char* end : {"/n", "/error", "/timeout", "/truncated"}) {
      if (core::ends_with(metric, end)) return true;
    }
    return false;
  }
};

SGRPO_REGISTER_COMMAND("eval", Eval);

}  // namespace
}  // namespace sgrpo::cli
