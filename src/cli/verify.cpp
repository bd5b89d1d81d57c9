// sgrpo verify: a verifier over recorded completions.
#include <iostream>
#include <map>

#include "cli/rows.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "sgrpo/data/rows.h"
#include "sgrpo/trainer/load_config.h"
#include "sgrpo/verifier/verifier.h"

namespace sgrpo::cli {
namespace {

using core::Json;
using core::str;
using verifier::VerifierSet;

/// One completion of one row; `columns` lives in the rows.
struct Task {
  const PromptRecord* record = nullptr;
  int64_t index = 0;
  VerifierSet::Job job;
};

/// The texts of `completions`, else `completion`.
std::vector<std::string> completions_of(const PromptRecord& record) {
  const Json* several = core::find(record.columns, "completions");
  if (several == nullptr) {
    if (record.completion) return {*record.completion};
    throw data::RecordError(
        record.source, record.id, "neither 'completion' nor 'completions' is given");
  }
  std::vector<std::string> texts;
  for (const Json& text : *several) {
    if (!text.is_string()) {
      throw data::RecordError(record.source, record.id, "'completions' must be a list of texts");
    }
    texts.push_back(text.get<std::string>());
  }
  if (texts.empty()) throw data::RecordError(record.source, record.id, "'completions' is empty");
  return texts;
}

Json json_of(const TextSpan& span) { return {{"begin", span.begin}, {"end", span.end}}; }

struct Verify {
  static constexpr const char* kSummary = "run a verifier over recorded completions";
  static constexpr bool kTakesConfig = true;

  std::string input;
  std::optional<std::string> verifier;
  Json params;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("input",
          input,
          FieldInfo{.help = "rows with completion, or completions (a list)",
                    .unit = "F.jsonl",
                    .required = true,
                    .is_path = true});
    visit("verifier",
          verifier,
          FieldInfo{.help = "a built-in, or an instance under verifiers; null = each row's own",
                    .unit = "NAME"});
    visit("params", params, FieldInfo{.help = "its parameters", .unit = "JSON"});
  }

  static std::string details() {
    return "stdout: {\"id\", \"index\", \"status\", \"reward\", \"answer\"} for every completion, "
           "with \"answer_span\",\n\"items\", \"comment\" and \"breakdown\" where there are any, "
           "{\"id\", \"error\"} for a bad row; --json adds a last line {\"summary\": "
           "...}, else the summary is on stderr.\n\nverifiers: " +
           core::join(verifier::VerifierRegistry::names(), ", ") + "\n";
  }

  int run(const Invocation& invocation) {
    const trainer::RunConfig config =
        trainer::load_run_config(invocation.config, invocation.overrides);
    const VerifierSet verifiers = make_verifiers(config);
    data::RowOptions options;
    options.requires_prompt = false;
    const std::vector<data::RowResult> rows = data::read_rows(input, options);

    RowWriter writer(std::cout);
    std::vector<Task> tasks;
    for (const data::RowResult& row : rows) add_tasks(row, verifiers, tasks, writer);
    std::vector<VerifierSet::Job> jobs;
    for (const Task& task : tasks) jobs.push_back(task.job);
    const std::vector<Verdict> verdicts = verifiers.judge(jobs);
    for (size_t i = 0; i < tasks.size(); ++i) report(tasks[i], verdicts[i], i, writer);
    summarise(verdicts, invocation.json);
    writer.finish();
    return 0;
  }

 private:
  /// --verifier takes the place of the run's default and of every row's choice.
  VerifierSet make_verifiers(const trainer::RunConfig& config) {
    verifier::VerifierOptions options = config.verifier;
    const bool is_instance = verifier && config.verifiers.contains(*verifier);
    if (is_instance && !params.is_null()) {
      throw UsageError(str("--params: ",
                           *verifier,
                           " is an instance with parameters of its own; expected a built-in's "
                           "name, or no --params"));
    }
    if (verifier && !is_instance) {
      if (options.name.name() != *verifier) options.params = Json::object();
      options.name = *verifier;
    }
    if (!params.is_null()) options.params = params;
    chosen_ = verifier.value_or("");
    return VerifierSet(options, config.verifiers, verifier ? Json::array() : config.rewards);
  }

  void add_tasks(const data::RowResult& row,
                 const VerifierSet& verifiers,
                 std::vector<Task>& tasks,
                 RowWriter& writer) const {
    try {
      if (const auto* error = std::get_if<data::RecordError>(&row)) throw data::RecordError(*error);
      const PromptRecord& record = std::get<PromptRecord>(row);
      const std::string& name = chosen_.empty() ? record.verifier : chosen_;
      verifiers.check_name(name, record.source.str());
      const Json* reason = core::find(record.columns, "finish_reason");
      const bool is_truncated = reason != nullptr && *reason == "length";
      int64_t index = 0;
      for (const std::string& text : completions_of(record)) {
        const verifier::Sample sample{.completion = text,
                                      .ground_truth = record.ground_truth.value_or(""),
                                      .columns = &record.columns,
                                      .is_truncated = is_truncated};
        tasks.push_back({&record, index++, {name, sample}});
      }
    } catch (const data::RecordError& error) {
      writer.write_error(error.id(), error.what());
    } catch (const core::UserError& error) {
      writer.write_error(std::get<PromptRecord>(row).id, error.what());
    }
  }

  /// A row of stdout, and the first ten in words on stderr.
  static void report(const Task& task, const Verdict& verdict, size_t position, RowWriter& writer) {
    Json row = {{"id", task.record->id},
                {"index", task.index},
                {"status", to_string(verdict.status)},
                {"reward", verdict.reward},
                {"answer", verdict.answer}};
    if (verdict.answer_span) row["answer_span"] = json_of(*verdict.answer_span);
    for (const VerdictItem& item : verdict.items) {
      Json entry = json_of(item.span);
      entry["reward"] = item.reward;
      row["items"].push_back(entry);
    }
    if (!verdict.comment.empty()) row["comment"] = verdict.comment;
    if (verdict.breakdown.size() > 1) row["breakdown"] = verdict.breakdown;
    writer.write(row);
    if (position >= 10) return;
    core::info(to_string(verdict.status),
               "  ",
               core::printable(task.record->id, 24),
               "  completion '",
               core::printable(task.job.sample.completion),
               "'  ground truth '",
               core::printable(task.job.sample.ground_truth),
               "'");
  }

  static void summarise(const std::vector<Verdict>& verdicts, bool json) {
    std::map<std::string, int64_t> counts;
    double reward = 0;
    int64_t num_valid = 0;
    for (const Verdict& verdict : verdicts) {
      ++counts[std::string(to_string(verdict.status))];
      if (!verdict.is_valid()) continue;
      reward += verdict.reward;
      ++num_valid;
    }
    // A mean over nothing is no number.
    const Json mean = num_valid == 0 ? Json() : Json(reward / static_cast<double>(num_valid));
    if (json) {
      const Json summary = {{"completions", verdicts.size()},
                            {"judged", num_valid},
                            {"mean_reward", mean},
                            {"status", counts}};
      std::cout << core::dump_ascii({{"summary", summary}}) << "\n";
      return;
    }
    std::vector<std::string> parts;
    for (const auto& [status, count] : counts) parts.push_back(str(count, " ", status));
    core::info(verdicts.size(),
               " completions: ",
               core::join(parts, ", "),
               "; mean reward ",
               mean.is_null() ? "n.a." : core::dump_ascii(mean),
               " of ",
               num_valid,
               " judged");
  }

  std::string chosen_;
};

SGRPO_REGISTER_COMMAND("verify", Verify);

}  // namespace
}  // namespace sgrpo::cli
