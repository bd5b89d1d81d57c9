// sgrpo logprobs: log-probabilities of given completions.
#include "cli/file_rows.h"
#include "cli/row_files.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/core/file.h"

namespace sgrpo::cli {
namespace {

struct Logprobs {
  static constexpr const char* kSummary =
      "per-token log-probabilities and entropies of given completions";
  static constexpr bool kTakesConfig = false;

  FileJob job;
  double temperature = 1.0;
  bool sampling_mask = false;
  std::optional<std::string> grad;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    job.visit_fields(visit);
    visit("temperature",
          temperature,
          FieldInfo{.help = "divides the logits", .low = 1e-3, .high = 1e3});
    visit("sampling_mask",
          sampling_mask,
          FieldInfo{.help = "score as the sampler does: placeholders and unused ids excluded"});
    visit("grad",
          grad,
          FieldInfo{.help = "also write the gradient of the mean completion NLL of the only row",
                    .unit = "F.safetensors",
                    .is_path = true});
  }

  int run(const Invocation&) {
    for (const std::string& read : {job.input, job.model, job.output}) {
      if (grad) core::check_not_input(*grad, read);
    }
    const auto policy = job.open();
    LogprobOptions options{
        .temperature = temperature, .use_sampling_mask = sampling_mask, .grad = std::nullopt};
    if (grad) options.grad = *grad;
    return finish_rows(logprobs_file(*policy, job.input, job.output, options), job);
  }
};

SGRPO_REGISTER_COMMAND("logprobs", Logprobs);

}  // namespace
}  // namespace sgrpo::cli
