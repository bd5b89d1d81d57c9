// Section `verifier` of the configuration.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "sgrpo/config/choice.h"
#include "sgrpo/config/fields.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/registry.h"

namespace sgrpo::verifier {

class Verifier;
/// Builds a verifier from its `params`; throws config-style core::UserError for unknown or wrong
/// parameters.
using VerifierFactory = std::unique_ptr<Verifier> (*)(const core::Json& params,
                                                      const std::string& where);
struct VerifierTag {};
using VerifierRegistry = core::Registry<VerifierFactory, VerifierTag>;

/// What becomes of completions that were cut at the length limit.
enum class Truncated { kIncorrect, kJudge, kMask };
constexpr auto names_of(Truncated) { return std::array{"incorrect", "judge", "mask"}; }

/// Whether external programs are shut in: as far as the machine allows, in full or not at all,
/// never.
enum class Sandbox { kAuto, kRequire, kOff };
constexpr auto names_of(Sandbox) { return std::array{"auto", "require", "off"}; }

/// How long a verdict may take.
struct TimeLimits {
  double row_s = 10.0;
  double start_s = 60.0;  // of a program, until it reads its first row; then that row's time begins
};

struct VerifierOptions {
  config::Choice<VerifierRegistry> name = "exact";
  core::Json params = core::Json::object();
  double timeout_s = 10.0;
  double start_timeout_s = 60.0;
  int64_t workers = 1;
  Sandbox sandbox = Sandbox::kAuto;
  Truncated truncated = Truncated::kIncorrect;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("name",
          name,
          FieldInfo{.help = "verifier of rows that name none", .more_names = "verifiers"});
    visit("params", params, FieldInfo{.help = "its parameters"});
    visit("timeout_s",
          timeout_s,
          FieldInfo{.help = "limit per completion; a late verdict masks the sample",
                    .unit = "s",
                    .low = 1e-3,
                    .high = 1e5});
    visit(
        "start_timeout_s",
        start_timeout_s,
        FieldInfo{.help = "limit of a program until it reads its first row, for imports and models",
                  .unit = "s",
                  .low = 1e-3,
                  .high = 1e5});
    visit("workers",
          workers,
          FieldInfo{.help = "processes of a command verifier at once",
                    .unit = "processes",
                    .low = 1,
                    .high = 1024});
    visit("sandbox",
          sandbox,
          FieldInfo{.help = "whether bubblewrap shuts command verifiers in: where it can, always "
                            "(without network, too), or never"});
    visit("truncated",
          truncated,
          FieldInfo{.help = "completions cut at the length limit: incorrect, judge them, or mask "
                            "them (out of the loss and the statistics)"});
  }
};

}  // namespace sgrpo::verifier
