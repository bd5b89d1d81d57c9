// Kinds of policy: what config.json says picks the one that opens a checkpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sgrpo/core/registry.h"
#include "sgrpo/policy/policy.h"

namespace sgrpo::policy {

/// A checkpoint to be opened, and for what.
struct OpenRequest {
  std::shared_ptr<const checkpoint::ModelFolder> folder;
  model::ModelOptions options = {};
  EncoderLimits limits = {};
  int64_t max_batch_rows = kMaxBatchRows;
  bool trains = false;  // see open_trainable
};

/// A checkpoint to be opened as the KL reference of `policy`.
struct ReferenceRequest {
  std::string path;  // as the configuration says it
  std::shared_ptr<const checkpoint::ModelFolder> folder;
  model::ModelOptions options;
  const Policy& policy;
  bool sampling_mask = true;
};

/// A kind of policy: a room of its own registers one and is edited nowhere else.
struct Kind {
  /// Values of config.json's model_type that are of this kind.
  std::vector<std::string> (*architectures)();
  /// See policy::open and policy::open_trainable.
  std::unique_ptr<Policy> (*open)(const OpenRequest& request);
  /// See policy::open_reference.
  std::unique_ptr<Policy> (*open_reference)(const ReferenceRequest& request);
};
using KindFactory = Kind (*)();
struct KindTag {};
using KindRegistry = core::Registry<KindFactory, KindTag>;

/// The kind of a checkpoint. Throws core::UserError for an architecture of no kind (known ones
/// listed).
Kind kind_of(const checkpoint::ModelFolder& folder);

}  // namespace sgrpo::policy
