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

std::vector<RolloutGroup> modify_advantages(std::vector<RolloutGroup> groups,
                                            const std::vector<std::unique_ptr<Modifier>>& modifiers,
                                            core::RandomKey key) {
  for (const auto& modifier : modifiers) {
    for (RolloutGroup& group : groups) {
      key.prompt_index = static_cast<uint64_t>(group.prompt_index);
      modifier->modify(group, key);
    }
  }
  return groups;
}

}  // namespace sgrpo::algorithm
