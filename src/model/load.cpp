#include <ATen/ATen.h>

#include "sgrpo/model/model.h"

namespace sgrpo::model {
namespace {

Family family_of(const core::Json& config, const std::string& where) {
  const std::string type = core::get_string(config, "model_type", where);
  if (!FamilyRegistry::contains(type)) {
    throw core::UserError(core::str(where,
                                    ": unknown architecture '",
                                    type,
                                    "'",
                                    core::did_you_mean(type, FamilyRegistry::names()),
                                    "; known: ",
                                    core::join(FamilyRegistry::names(), ", ")));
  }
  return FamilyRegistry::get("architecture", type)();
}

}  // namespace

std::unique_ptr<Model> load_model(const ModelSource& source, const ModelOptions& options) {
  return family_of(source.config, source.where).load(source, options);
}

ModelSpec read_spec(const core::Json& config, const std::string& where) {
  return family_of(config, where).spec(config, where);
}

TensorLayout read_layout(const core::Json& config, const std::string& where) {
  return family_of(config, where).layout(config, where);
}

}  // namespace sgrpo::model
