// What a model consists of, told once by its family: the memory plan, freezing and adapters read
// it, so that nobody has to know how a family calls its tensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sgrpo/model/options.h"

namespace sgrpo::model {

/// What a weight serves: token embeddings, the vision tower, what turns its patches into tokens,
/// the decoder's layers, the norm behind them, the output matrix.
enum class Role { kEmbedding, kTower, kMerger, kDecoder, kNorm, kHead };

/// The unit of freezing that weights of a role belong to.
constexpr Module module_of(Role role) {
  switch (role) {
    case Role::kTower: return Module::kVision;
    case Role::kMerger: return Module::kMerger;
    default: return Module::kLanguage;
  }
}

/// Where a weight stands in its model.
struct Place {
  Role role = Role::kDecoder;
  int64_t block = -1;           // number of the decoder's layer or the tower's block; -1: in none
  bool joins_residual = false;  // what it gives is added to the residual stream
};

/// One weight of a checkpoint.
struct Weight {
  std::string name;  // as in the checkpoint
  std::vector<int64_t> shape;
  Place place;
  bool takes_adapter = false;  // the matrix of a linear layer that may have a LoRA adapter

  Module module() const { return module_of(place.role); }
  /// Number of values.
  int64_t size() const {
    int64_t values = 1;
    for (const int64_t extent : shape) values *= extent;
    return values;
  }
};

}  // namespace sgrpo::model
