#include <ATen/ATen.h>
#include <malloc.h>

#include "model/adapter.h"
#include "model/quantised.h"
#include "sgrpo/core/log.h"
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

/// While weights are read, large blocks come from the system one by one and go back to it: glibc's
/// growing threshold would keep the holes that temporary copies leave between weights, about a
/// third of the checkpoint. Afterwards the threshold is what glibc would grow to, so that the large
/// temporaries of training stay in the heap.
class ExactAllocations {
 public:
  ExactAllocations() { ::mallopt(M_MMAP_THRESHOLD, 1 << 20); }
  ~ExactAllocations() { ::mallopt(M_MMAP_THRESHOLD, 32 << 20); }
  ExactAllocations(const ExactAllocations&) = delete;
  ExactAllocations& operator=(const ExactAllocations&) = delete;
};

}  // namespace

std::unique_ptr<Model> load_model(const ModelSource& source, const ModelOptions& options) {
  refuse_quantised(source.names, source.where);
  const ExactAllocations exact;
  return family_of(source.config, source.where).load(source, options);
}

ModelSpec read_spec(const core::Json& config, const std::string& where) {
  return family_of(config, where).spec(config, where);
}

ModelLayout read_layout(const ModelSource& source, const ModelOptions& options) {
  refuse_quantised(source.names, source.where);
  return family_of(source.config, source.where).layout(source, options);
}

std::vector<Weight> read_layout(const core::Json& config, const std::string& where) {
  return read_layout({.config = config, .where = where, .names = {}, .read = {}}, {}).weights;
}

TensorReader merge_adapter(const ModelSource& source) {
  if (!source.adapter) return [](const std::string&) { return at::Tensor(); };
  // Takes every tensor of the adapter to its layer, or refuses it.
  return merged_reader(source, read_layout(source).merges);
}

void Model::expect_positions(int64_t positions) const {
  if (has_warned_ || positions <= spec().max_positions) return;
  has_warned_ = true;
  core::warn("a prompt with its completion may take ",
             positions,
             " positions, but the model has ",
             spec().max_positions,
             " (max_position_embeddings in config.json), and what it computes beyond them is of "
             "little worth: lower max_new_tokens, or leave out or shorten long prompts "
             "(data.max_prompt_tokens)");
}

std::vector<Parameter> trainable_parameters(const Model& model) {
  std::vector<Parameter> result;
  for (const std::vector<Parameter>* list : {&model.parameters(), &model.adapter().parameters}) {
    for (const Parameter& parameter : *list) {
      if (parameter.tensor.requires_grad()) result.push_back(parameter);
    }
  }
  return result;
}

}  // namespace sgrpo::model
