#include <algorithm>

#include "sgrpo/config/config.h"
#include "sgrpo/core/text.h"
#include "sgrpo/model/lora.h"

namespace sgrpo::model {
namespace {

using config::ConfigError;
using core::Json;
using core::str;

constexpr const char* kWhere = "model.lora";
constexpr const char* kAllLinear = "all-linear";
constexpr int64_t kMaxRank = 65536;

std::vector<std::string> read_targets(const Json& targets) {
  if (targets.is_string() && targets.get<std::string>() == kAllLinear) return {};
  const auto refuse = [&] {
    throw ConfigError(str(kWhere,
                          ".targets is ",
                          core::printable(core::dump_ascii(targets)),
                          ", expected ",
                          kAllLinear,
                          " or a list of layer names such as [q_proj, v_proj]"));
  };
  if (!targets.is_array() || targets.empty()) refuse();
  std::vector<std::string> names;
  for (const Json& target : targets) {
    if (!target.is_string() || target.get<std::string>().empty()) refuse();
    names.push_back(target.get<std::string>());
  }
  return names;
}

}  // namespace

std::optional<LoraOptions> read_lora(const Json& lora) {
  if (lora.is_null()) return std::nullopt;
  if (!lora.is_object()) {
    throw ConfigError(str(kWhere,
                          " is ",
                          core::printable(core::dump_ascii(lora)),
                          ", expected null or {rank: 16, alpha: 32, targets: all-linear}"));
  }
  const std::vector<std::string> keys = {"rank", "alpha", "targets"};
  for (const auto& [key, value] : lora.items()) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    throw ConfigError(str("unknown key ",
                          kWhere,
                          ".",
                          core::printable(key),
                          core::did_you_mean(key, keys),
                          "; expected rank, alpha, targets"));
  }
  LoraOptions options;
  options.rank = core::get_int_or(lora, "rank", options.rank, kWhere, 1, kMaxRank);
  options.alpha = core::get_double_or(lora, "alpha", options.alpha, kWhere);
  if (!(options.alpha > 0.0)) {
    throw ConfigError(str(kWhere, ".alpha is ", options.alpha, ", expected a number above 0"));
  }
  if (const Json* targets = core::find(lora, "targets")) options.targets = read_targets(*targets);
  return options;
}

}  // namespace sgrpo::model
