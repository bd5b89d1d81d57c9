// Section `model` of the configuration.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sgrpo/config/fields.h"
#include "sgrpo/core/json.h"

namespace sgrpo::model {

struct ModelOptions {
  std::string path;
  std::string dtype = "float32";
  std::string device = "auto";
  std::vector<std::string> freeze;
  core::Json lora = nullptr;
  bool share_prefix = true;
  uint64_t seed = 0;  // of new adapters: the run's, no key of this section

  template <class V>
  void visit_fields(V& visit) {
    visit("path",
          path,
          config::FieldInfo{.help = "checkpoint folder, Hugging Face layout", .required = true});
    visit("dtype",
          dtype,
          config::FieldInfo{.help = "type of weights and computation",
                            .choices = {"float32", "bfloat16"}});
    visit("device",
          device,
          config::FieldInfo{.help = "auto takes a GPU where there is one",
                            .choices = {"auto", "cpu", "cuda"}});
    visit("freeze",
          freeze,
          config::FieldInfo{.help = "modules that do not train: vision, merger, language",
                            .choices = {"vision", "merger", "language"}});
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
