// sgrpo export: any checkpoint or model folder -> a Hugging Face folder.
#include <iostream>

#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/policy/policy.h"
#include "sgrpo/telemetry/telemetry.h"

namespace sgrpo::cli {
namespace {

constexpr uint64_t kManyBytes = 1'000'000'000;  // bytes that take a while

struct Export {
  static constexpr const char* kSummary = "a checkpoint or model folder as a Hugging Face folder";
  static constexpr bool kTakesConfig = false;

  static std::string details() {
    return "Names, shards, order and untouched tensors stay as in the input. An adapter "
           "(model.lora) is merged into\nits base model; the adapter itself is the checkpoint's "
           "model/ folder, in PEFT's format.\n";
  }

  std::string checkpoint, output;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("checkpoint",
          checkpoint,
          FieldInfo{.help = "model folder, checkpoint, or run folder (its newest checkpoint)",
                    .unit = "DIR",
                    .required = true,
                    .is_path = true});
    visit("output",
          output,
          FieldInfo{
              .help = "a new or empty folder", .unit = "DIR", .required = true, .is_path = true});
  }

  int run(const Invocation& invocation) {
    const auto folder = std::make_shared<const checkpoint::ModelFolder>(checkpoint);
    core::Json files = core::Json::array();
    std::optional<telemetry::Progress> progress;
    if (folder->bytes() >= kManyBytes)
      progress.emplace("export, tensors", static_cast<int64_t>(folder->names().size()));
    const auto weights = [&progress,
                          merged = policy::merged_weights(folder)](const std::string& name) {
      if (core::stop_requested()) {
        throw core::Interrupted("stopped by a signal while exporting: nothing was written");
      }
      if (progress) progress->advance();
      return merged(name);
    };
    for (const auto& file : folder->write_like(output, weights)) {
      files.push_back({{"file", file.file}, {"bytes", file.bytes}, {"sha256", file.sha256}});
    }
    if (invocation.json) {
      const core::Json result = {
          {"checkpoint", folder->folder().string()}, {"output", output}, {"files", files}};
      std::cout << core::dump_ascii(result) << "\n";
      return 0;
    }
    for (const core::Json& file : files) {
      std::cout << file["sha256"].get<std::string>() << "  " << file["file"].get<std::string>()
                << "\n";
    }
    return 0;
  }
};

SGRPO_REGISTER_COMMAND("export", Export);

}  // namespace
}  // namespace sgrpo::cli
