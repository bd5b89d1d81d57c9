// sgrpo eval: accuracy, pass@k and maj@k of a checkpoint on any splits.
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <iostream>

#include "cli/rows.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/eval/evaluate.h"
#include "sgrpo/telemetry/telemetry.h"
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

  int run(const Invocation& invocation) {
    trainer::RunConfig config = trainer::load_run_config(invocation.config, invocation.overrides);
    if (model) config.model.path = *model;
    if (data) config.data.eval = {{std::filesystem::path(*data).stem().string(), *data}};
    config::require(config, {"model.path"});
    if (config.data.eval.empty()) {
      throw UsageError("eval needs splits: data.eval in the configuration, or --data F.jsonl");
    }
    const verifier::VerifierSet verifiers(config.verifier, config.verifiers, config.rewards);
    const eval::Policy policy =
        eval::open_policy(config.model.path, config.model, eval::encoder_limits(config.data, 0));
    StepReport report;
    std::ofstream rows;
    if (output) rows.open(*output, std::ios::binary);
    if (!rows)
      throw core::RunError(core::str("cannot write ", *output, ": ", std::strerror(errno)));
    int64_t num_rejected = 0;
    for (const auto& [name, path] : config.data.eval) {
      const auto result = evaluate_split(policy, verifiers, config, name, path);
      report.merge(result.metrics);
      num_rejected += result.num_rejected;
      if (output) write_rows(name, result, rows);
    }
    print(report, invocation.json);
    if (num_rejected > 0) {
      throw core::UserError(core::str(num_rejected, " bad rows were left out (named above)"));
    }
    return 0;
  }

 private:
  static eval::EvalResult evaluate_split(const eval::Policy& policy,
                                         const verifier::VerifierSet& verifiers,
                                         const trainer::RunConfig& config,
                                         const std::string& name,
                                         const std::string& path) {
    const data::EvalSet split = data::load_eval_set(name, path, config.data);
    eval::EvalJob job;
    job.options = config.eval;
    job.max_new_tokens = config.eval.max_new_tokens.value_or(config.rollout.max_new_tokens);
    job.seed = static_cast<uint64_t>(config.seed);
    telemetry::Progress progress("eval " + name, static_cast<int64_t>(split.records.size()));
    return eval::evaluate(
        policy, verifiers, split, job, [&](int64_t done) { progress.advance(done); });
  }

  static void write_rows(const std::string& split,
                         const eval::EvalResult& result,
                         std::ofstream& out) {
    for (const eval::EvalRow& row : result.rows) {
      for (const GroupMember& sample : row.samples) {
        out << core::dump_ascii({{"split", split},
                                 {"id", row.record->id},
                                 {"index", sample.completion.sample_index},
                                 {"completion", sample.completion.text},
                                 {"ground_truth", row.record->ground_truth.value_or("")},
                                 {"reward", sample.verdict.reward},
                                 {"status", to_string(sample.verdict.status)}})
            << "\n";
      }
    }
    if (!out) throw core::RunError("cannot write the rows of --output: disk full?");
  }

  static void print(const StepReport& report, bool json) {
    if (json) {
      core::Json object = core::Json::object();
      for (const auto& [name, value] : report.values()) object[name] = value;
      std::cout << core::dump_ascii(object) << "\n";
      return;
    }
    for (const auto& [name, value] : report.values()) {
      std::cout << std::left << std::setw(44) << name << std::fixed << std::setprecision(4) << value
                << "\n";
    }
  }
};

SGRPO_REGISTER_COMMAND("eval", Eval);

}  // namespace
}  // namespace sgrpo::cli
