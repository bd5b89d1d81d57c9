// Section `model` of the configuration.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "sgrpo/config/fields.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/names.h"

namespace sgrpo::model {

enum class Dtype { kAuto, kFloat32, kBfloat16 };
constexpr auto names_of(Dtype) { return std::array{"auto", "float32", "bfloat16"}; }

enum class DeviceKind { kAuto, kCpu, kCuda };
constexpr auto names_of(DeviceKind) { return std::array{"auto", "cpu", "cuda"}; }

/// A part of a model: the unit of freezing.
enum class Module { kVision, kMerger, kLanguage };
constexpr auto names_of(Module) { return std::array{"vision", "merger", "language"}; }

struct ModelOptions {
  std::string path;
  Dtype dtype = Dtype::kAuto;
  DeviceKind device = DeviceKind::kAuto;
  std::vector<Module> freeze;
  core::Json lora = nullptr;
  bool share_prefix = true;
  uint64_t seed = 0;  // of new adapters: the run's, no key of this section

  template <class V>
  void visit_fields(V& visit) {
    visit("path",
          path,
          config::FieldInfo{
              .help = "checkpoint folder, Hugging Face layout", .required = true, .is_path = true});
    visit("dtype",
          dtype,
          config::FieldInfo{.help = "type of weights and computation; auto: bfloat16 on a GPU, "
                                    "float32 on a CPU"});
    visit("device", device, config::FieldInfo{.help = "auto takes a GPU where there is one"});
    visit("freeze",
          freeze,
          config::FieldInfo{.help = "modules that do not train: vision, merger, language"});
    visit("lora",
          lora,
          config::FieldInfo{.help = "null, or {rank: 16, alpha: 32, targets: all-linear}: only "
                                    "low-rank adapters train (PEFT's format)"});
    visit("share_prefix",
          share_prefix,
          config::FieldInfo{
              .help = "compute a prompt once for its whole group, in training as in sampling"});
  }
};

}  // namespace sgrpo::model
