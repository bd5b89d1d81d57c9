// sgrpo export: any checkpoint or model folder -> a Hugging Face folder.
#include <ATen/ATen.h>

#include <iostream>

#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/log.h"
#include "sgrpo/policy/policy.h"
#include "sgrpo/telemetry/telemetry.h"

namespace sgrpo::cli {
namespace {

constexpr uint64_t kManyBytes = 1'000'000'000;  // bytes that take a while

using Values = std::function<at::Tensor(const std::string&)>;
using Folder = std::shared_ptr<const checkpoint::ModelFolder>;

Folder open_folder(const std::string& path) {
  const auto folder = std::make_shared<const checkpoint::ModelFolder>(path);
  core::info("opened ", folder->describe());
  return folder;
}

/// A checkpoint's tensors: wide, and with its adapter's part.
Values values_of(const Folder& folder) {
  return [folder, merged = policy::merged_weights(folder)](const std::string& name) {
    const at::Tensor value = merged(name);
    return value.defined() ? value : folder->read(name);
  };
}

/// Both must be of one model: a tensor that one of them lacks has nothing to be mixed with.
void check_same_tensors(const checkpoint::ModelFolder& folder,
                        const checkpoint::ModelFolder& base) {
  const auto refuse = [&](const std::string& name, const std::string& what) {
    throw core::UserError(core::str("--base ",
                                    base.folder().string(),
                                    what,
                                    " tensor '",
                                    name,
                                    "' of ",
                                    folder.folder().string(),
                                    ": expected the checkpoint that it was trained from"));
  };
  for (const std::string& name : folder.names()) {
    if (!base.has(name)) refuse(name, " has no");
    if (base.entry(name).shape != folder.entry(name).shape) refuse(name, " has another shape for");
  }
}

/// share * checkpoint + (1 - share) * base in float32 where the two differ; undefined where they
/// are equal, so that the checkpoint's bytes stay.
Values mixed(const Folder& folder, const Folder& base, double share) {
  check_same_tensors(*folder, *base);
  return [own = values_of(folder), other = values_of(base), share](const std::string& name) {
    const at::Tensor a = own(name), b = other(name);
    if (!a.is_floating_point()) return at::Tensor();
    const at::Tensor wide_a = a.to(at::kFloat), wide_b = b.to(at::kFloat);
    if (at::equal(wide_a, wide_b)) return at::Tensor();
    return wide_a.mul(share).add_(wide_b.mul(1.0 - share));
  };
}

struct Export {
  static constexpr const char* kSummary = "a checkpoint or model folder as a Hugging Face folder";
  static constexpr bool kTakesConfig = false;

  static std::string details() {
    return "Names, shards, order and untouched tensors stay as in the input. An adapter "
           "(model.lora) is merged into\nits base model; the adapter itself is the checkpoint's "
           "model/ folder, in PEFT's format. --interpolate mixes\neach tensor that differs from "
           "the base's in float32 and rounds once; both flags belong together.\n";
  }

  std::string checkpoint, output;
  std::optional<double> interpolate;
  std::optional<std::string> base;

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
    visit("interpolate",
          interpolate,
          FieldInfo{.help = "share of the checkpoint in a mixture with --base; null = all of it",
                    .low = 0,
                    .high = 1});
    visit("base",
          base,
          FieldInfo{.help = "the checkpoint that --interpolate mixes with",
                    .unit = "DIR",
                    .is_path = true});
  }

  int run(const Invocation& invocation) {
    if (interpolate.has_value() != base.has_value()) {
      throw UsageError("--interpolate W and --base DIR belong together: give both, or neither");
    }
    const Folder folder = open_folder(checkpoint);
    core::Json files = core::Json::array();
    std::optional<telemetry::Progress> progress;
    if (folder->bytes() >= kManyBytes)
      progress.emplace("export, tensors", static_cast<int64_t>(folder->names().size()));
    const Values source =
        base ? mixed(folder, open_folder(*base), *interpolate) : policy::merged_weights(folder);
    const auto weights = [&progress, &source](const std::string& name) {
      if (core::stop_requested()) {
        throw core::Interrupted("stopped by a signal while exporting: nothing was written");
      }
      if (progress) progress->advance();
      return source(name);
    };
    for (const auto& file : folder->write_like(output, weights)) {
      files.push_back({{"file", file.file}, {"bytes", file.bytes}, {"sha256", file.sha256}});
    }
    print(*folder, files, invocation.json);
    return 0;
  }

 private:
  void print(const checkpoint::ModelFolder& folder, const core::Json& files, bool json) const {
    if (json) {
      core::Json result = {
          {"checkpoint", folder.folder().string()}, {"output", output}, {"files", files}};
      if (base) result["interpolate"] = {{"share", *interpolate}, {"base", *base}};
      std::cout << core::dump_ascii(result) << "\n";
      return;
    }
    for (const core::Json& file : files) {
      std::cout << file["sha256"].get<std::string>() << "  " << file["file"].get<std::string>()
                << "\n";
    }
  }
};

SGRPO_REGISTER_COMMAND("export", Export);

}  // namespace
}  // namespace sgrpo::cli
