// sgrpo generate: completions for the rows of a file.
#include "cli/file_rows.h"
#include "cli/row_files.h"
#include "sgrpo/cli/command.h"

namespace sgrpo::cli {
namespace {

struct Generate {
  static constexpr const char* kSummary = "completions for the rows of a file";
  static constexpr bool kTakesConfig = false;

  FileJob job;
  GenerateOptions options;
  int64_t seed = 0, max_batch_rows = policy::kMaxBatchRows;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    job.visit_fields(visit);
    visit("group_size",
          options.group_size,
          FieldInfo{.help = "completions per row", .low = 1, .high = 65536});
    visit("max_new_tokens",
          options.sampling.max_new_tokens,
          FieldInfo{.help = "longest completion", .unit = "tokens", .low = 1, .high = 1e6});
    visit("temperature",
          options.sampling.temperature,
          FieldInfo{.help = "divides the logits", .low = 1e-3, .high = 1e3});
    visit("top_p",
          options.sampling.top_p,
          FieldInfo{.help = "nucleus; 1 = off", .low = 1e-6, .high = 1});
    visit("top_k",
          options.sampling.top_k,
          FieldInfo{.help = "keep the k likeliest tokens; 0 = off", .low = 0, .high = 1e9});
    visit("greedy", options.sampling.greedy, FieldInfo{.help = "take the likeliest token"});
    visit("seed", seed, FieldInfo{.help = "of the sampling", .low = 0, .high = 9e15});
    visit("ignore_eos",
          options.ignore_eos,
          FieldInfo{.help = "go on to max_new_tokens whatever is sampled"});
    visit("max_batch_rows",
          max_batch_rows,
          FieldInfo{.help = "completions decoded at a time; results do not depend on it",
                    .low = 1,
                    .high = 65536});
  }

  int run(const Invocation&) {
    options.seed = static_cast<uint64_t>(seed);
    const auto policy = job.open(max_batch_rows);
    return finish_rows(generate_file(*policy, job.input, job.output, options), job);
  }
};

SGRPO_REGISTER_COMMAND("generate", Generate);

}  // namespace
}  // namespace sgrpo::cli
