// Section `verifier` of the configuration.
#pragma once

#include <string>

#include "sgrpo/config/fields.h"
#include "sgrpo/core/json.h"

namespace sgrpo::verifier {

struct VerifierOptions {
  std::string name = "exact";
  core::Json params = core::Json::object();
  double timeout_s = 10.0;
  std::string truncated = "incorrect";

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("name", name, FieldInfo{.help = "verifier of rows that name none"});
    visit("params", params, FieldInfo{.help = "its parameters"});
    visit("timeout_s",
          timeout_s,
          FieldInfo{.help = "limit per completion; a late verdict masks the sample",
                    .unit = "s",
                    .low = 1e-3,
                    .high = 1e5});
    visit("truncated",
          truncated,
          FieldInfo{.help = "completions cut at the length limit: incorrect, or judge them",
                    .choices = {"incorrect", "judge"}});
  }
};

}  // namespace sgrpo::verifier
