// The doors to a policy: they pick its kind, which does the rest.
#include <algorithm>

#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "sgrpo/policy/kind.h"

namespace sgrpo::policy {
namespace {

std::unique_ptr<Policy> open_as(const std::filesystem::path& path, OpenRequest request) {
  // An adapter adds to the model/ that others open, not to the weights beside it.
  const auto folder = std::make_shared<checkpoint::ModelFolder>(
      path,
      request.options.lora.is_null() ? checkpoint::Digits::kWide : checkpoint::Digits::kRounded);
  core::info("opened ", folder->describe());
  request.folder = folder;
  return kind_of(*folder).open(request);
}

}  // namespace

Kind kind_of(const checkpoint::ModelFolder& folder) {
  const std::string type = core::get_string(folder.config(), "model_type", folder.config_path());
  std::vector<std::string> known;
  for (const std::string& name : KindRegistry::names()) {
    const Kind kind = KindRegistry::get("kind of policy", name)();
    const std::vector<std::string> own = kind.architectures();
    if (std::find(own.begin(), own.end(), type) != own.end()) return kind;
    known.insert(known.end(), own.begin(), own.end());
  }
  std::sort(known.begin(), known.end());
  throw core::UserError(core::str(folder.config_path(),
                                  ": unknown architecture '",
                                  type,
                                  "'",
                                  core::did_you_mean(type, known),
                                  "; known: ",
                                  core::join(known, ", ")));
}

std::unique_ptr<Policy> open(const std::filesystem::path& path,
                             const model::ModelOptions& options,
                             const EncoderLimits& limits,
                             int64_t max_batch_rows) {
  return open_as(
      path,
      {.folder = nullptr, .options = options, .limits = limits, .max_batch_rows = max_batch_rows});
}

std::unique_ptr<Policy> open_trainable(const std::filesystem::path& path,
                                       const model::ModelOptions& options,
                                       const EncoderLimits& limits) {
  return open_as(path, {.folder = nullptr, .options = options, .limits = limits, .trains = true});
}

std::unique_ptr<Policy> open_reference(const std::filesystem::path& path,
                                       const model::ModelOptions& options,
                                       const Policy& policy,
                                       bool sampling_mask) {
  const auto folder = std::make_shared<const checkpoint::ModelFolder>(path);
  core::info("opened ", folder->describe(), " as the reference");
  return kind_of(*folder).open_reference({.path = path.string(),
                                          .folder = folder,
                                          .options = options,
                                          .policy = policy,
                                          .sampling_mask = sampling_mask});
}

}  // namespace sgrpo::policy
