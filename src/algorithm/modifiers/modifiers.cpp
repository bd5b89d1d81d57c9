#include "sgrpo/algorithm/modifiers.h"

namespace sgrpo::algorithm {

std::vector<std::unique_ptr<Modifier>> make_modifiers(const AlgorithmOptions& options) {
  std::vector<std::unique_ptr<Modifier>> modifiers;
  for (const MethodEntry& entry : read_methods(options.modifiers, "algorithm.modifiers")) {
    MethodParams params(entry.params, entry.where + ".params");
    modifiers.push_back(ModifierRegistry::get(entry.where, entry.name)(params));
    params.finish();
  }
  return modifiers;
}

std::vector<RolloutGroup> modify_advantages(
    std::vector<RolloutGroup> groups, const std::vector<std::unique_ptr<Modifier>>& modifiers) {
  for (const auto& modifier : modifiers) {
    for (RolloutGroup& group : groups) modifier->modify(group);
  }
  return groups;
}

}  // namespace sgrpo::algorithm
