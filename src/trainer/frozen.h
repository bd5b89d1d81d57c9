// Section `frozen`: policies that score beside the one that learns.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "sgrpo/learner/learner.h"
#include "sgrpo/trainer/run_config.h"

namespace sgrpo::trainer {

struct State;

/// One entry: where it begins, and how it follows the policy that learns.
struct FrozenOptions {
  std::string from = "start";   // the model at step 0, or a checkpoint folder
  std::optional<double> decay;  // nothing: it never moves
  int64_t every = 1;            // steps

  bool begins_at_start() const { return from == "start"; }
};

/// The entries by name. Throws core::UserError naming key, value and range.
std::map<std::string, FrozenOptions> read_frozen(const core::Json& frozen);

/// Refuses names that shapers and modifiers score with and `frozen` lacks, and entries that nobody
/// uses. Throws core::UserError.
void check_frozen(const RunConfig& config);

/// Opens them, and `start` where a method scores with it, beside the policy as it is now.
void open_frozen(const RunConfig& config, learner::Learner& mutable_learner);

/// Takes back what a checkpoint keeps of those that move; one that it does not know begins at the
/// start.
void restore_frozen(State& state, const std::filesystem::path& checkpoint);

}  // namespace sgrpo::trainer
