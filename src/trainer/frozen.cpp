#include "trainer/frozen.h"

#include <algorithm>
#include <set>

#include "sgrpo/algorithm/method.h"
#include "sgrpo/algorithm/modifiers.h"
#include "sgrpo/algorithm/shaping.h"
#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

using core::str;

/// Always there, whatever `frozen` says.
const std::string kStart = "start";

/// It names a folder of the checkpoint.
void check_frozen_name(const std::string& name) {
  const bool is_plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
  if (is_plain && name != kStart) return;
  throw core::UserError(str("frozen names a policy '",
                            core::printable(name),
                            "', expected letters, digits, - and _, and not start, which always "
                            "exists"));
}

FrozenOptions read_entry(const core::Json& entry, const std::string& where) {
  if (!entry.is_object()) {
    throw core::UserError(str(where,
                              " is ",
                              core::printable(core::dump_ascii(entry)),
                              ", expected {from: start, decay: null, every: 1}"));
  }
  algorithm::MethodParams params(entry, where);
  FrozenOptions options;
  options.from = params.text("from", options.from);
  const double decay = params.number("decay", -1.0, 0.0, 1.0);
  if (core::find(entry, "decay") != nullptr) options.decay = decay;
  options.every = params.integer("every", options.every, 1, int64_t{1} << 40);
  params.finish();
  if (options.decay && !options.begins_at_start()) {
    throw core::UserError(str(where,
                              ".decay is ",
                              *options.decay,
                              " and from is ",
                              core::printable(options.from),
                              ": a policy that follows the one that learns begins where that does; "
                              "expected from: start, or decay: null"));
  }
  return options;
}

std::set<std::string> frozen_needs(const RunConfig& config) {
  algorithm::Needs needs;
  for (const auto& shaper :
       algorithm::make_shapers(config.algorithm, {.max_new_tokens = config.rollout.max_new_tokens}))
    needs = needs | shaper->needs();
  for (const auto& modifier : algorithm::make_modifiers(config.algorithm))
    needs = needs | modifier->needs();
  return needs.frozen;
}

}  // namespace

std::map<std::string, FrozenOptions> read_frozen(const core::Json& frozen) {
  if (!frozen.is_object()) {
    throw core::UserError(str("frozen is ",
                              core::printable(core::dump_ascii(frozen)),
                              ", expected named policies: {ema: {from: start, decay: 0.995, every: "
                              "10}}"));
  }
  std::map<std::string, FrozenOptions> entries;
  for (const auto& [name, entry] : frozen.items()) {
    check_frozen_name(name);
    entries[name] = read_entry(entry, "frozen." + name);
  }
  return entries;
}

void check_frozen(const RunConfig& config) {
  const auto entries = read_frozen(config.frozen);
  const std::set<std::string> needed = frozen_needs(config);
  for (const std::string& name : needed) {
    if (name == kStart || entries.count(name) != 0) continue;
    std::vector<std::string> known = {kStart};
    for (const auto& [other, options] : entries) known.push_back(other);
    throw core::UserError(str("algorithm.shaping and algorithm.modifiers score with a policy '",
                              core::printable(name),
                              "', which frozen does not name",
                              core::did_you_mean(name, known),
                              ": expected frozen: {",
                              core::printable(name),
                              ": {from: start, decay: 0.995, every: 10}}, or one of ",
                              core::join(known, ", ")));
  }
  for (const auto& [name, options] : entries) {
    const bool is_reference = config.needs_reference() && config.algorithm.kl_ref == name;
    if (is_reference || needed.count(name) != 0) continue;
    throw core::UserError(str("frozen.",
                              name,
                              " is used by nothing: neither algorithm.kl_ref (with a KL term) nor "
                              "a shaper or modifier names it"));
  }
}

void open_frozen(const RunConfig& config, learner::Learner& learner) {
  model::ModelOptions options = config.model;
  options.seed = static_cast<uint64_t>(config.seed);
  for (const auto& [name, entry] : read_frozen(config.frozen)) {
    auto policy = entry.begins_at_start()
                      ? learner.policy().frozen_copy()
                      : policy::open_reference(
                            entry.from, options, learner.policy(), config.rollout.sampling_mask);
    learner.add_frozen(name,
                       {.policy = std::move(policy), .decay = entry.decay, .every = entry.every});
  }
  if (frozen_needs(config).count(kStart) != 0)
    learner.add_frozen(kStart, {.policy = learner.policy().frozen_copy()});
  if (config.needs_reference() && config.refers_to_frozen())
    learner.refer_to(config.algorithm.kl_ref);
}

void restore_frozen(State& state, const std::filesystem::path& checkpoint) {
  for (const auto& [name, unused] : state.learner->frozen_state()) {
    const auto file = checkpoint / "frozen" / name / "model.safetensors";
    if (!std::filesystem::exists(file)) {
      core::warn("frozen.", name, " is not in ", checkpoint.string(), ": it begins at the start");
      continue;
    }
    learner::NamedTensors tensors;
    const checkpoint::SafetensorsFile saved(file);
    for (const checkpoint::TensorEntry& entry : saved.entries())
      tensors.emplace_back(entry.name, saved.read(entry.name));
    state.learner->load_frozen(name, tensors, file.string());
  }
}

}  // namespace sgrpo::trainer
