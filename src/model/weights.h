// Weights by name: every tensor of a checkpoint is taken exactly once, with the shape the
// configuration says.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "model/adapter.h"
#include "sgrpo/model/model.h"

namespace sgrpo::model {

/// Reads weights for the modules of one model, or only records the names and shapes they ask for.
class WeightLoader {
 public:
  /// Loads from `source` to its placement, with the freezing and adapter of `options`.
  WeightLoader(const ModelSource& source, const ModelOptions& options);
  /// Records names and shapes and reads an adapter alone; tensors are on the meta device. The names
  /// of `source` say under which prefixes its tensors lie; a new checkpoint has none yet.
  static WeightLoader recorder(const ModelSource& source, const ModelOptions& options);

  /// One tensor. Frozen modules get no gradient. Throws core::UserError for a missing tensor
  /// (nearest name) or a wrong shape (found, expected).
  at::Tensor take(const std::string& name, at::IntArrayRef shape, const Place& place);

  /// Several matrices (or biases) with equal trailing dimensions, stored behind each other in one
  /// tensor: the parts are parameters, `all` serves passes without gradient as one product.
  struct Stack {
    at::Tensor all;
    std::vector<at::Tensor> parts;
  };
  struct Part {
    std::string name;
    int64_t rows = 0;
  };
  Stack take_stack(const std::vector<Part>& parts, at::IntArrayRef trailing, const Place& place);
  /// The adapter of the layer whose matrix `name` was just taken.
  Lora take_adapter(const std::string& layer, int64_t in, int64_t out);

  /// Whether the checkpoint's tensor `name` repeats `original` (a tied head written out), which was
  /// taken as `value`. If so, nobody else has to ask for it.
  bool take_copy(const std::string& name, const std::string& original, const at::Tensor& value);
  /// What take_copy found: names and their originals.
  const std::map<std::string, std::string>& copies() const { return copies_; }

  bool has(const std::string& name) const;
  /// The first of the root's names under which `probe` exists; the first one in new checkpoints.
  std::string find_root(const Root& root, const std::string& probe);

  /// All adapters, once every layer was taken.
  Adapter finish_adapter();

  /// Adds to what is unusual about the checkpoint.
  void remark(std::string text) { remarks_.push_back(std::move(text)); }
  /// All remarks; complete after finish().
  const std::vector<std::string>& remarks() const { return remarks_; }

  /// Parameters in checkpoint order. Tensors that no module asked for become a remark.
  std::vector<Parameter> finish();
  /// What was asked for, in order.
  const std::vector<Weight>& layout() const { return layout_; }
  /// See ModelLayout::merges.
  const std::map<std::string, std::pair<std::string, std::string>>& merges() const {
    return adapter_.merges();
  }

 private:
  WeightLoader(const ModelSource& source, const ModelOptions& options, bool records);
  at::Tensor read(const std::string& name, at::IntArrayRef shape, const Place& place);
  void remark_unused();
  at::Tensor as_parameter(const at::Tensor& tensor, const std::string& name, Module module);

  const ModelSource* source_ = nullptr;  // null: records
  Placement placement_;
  AdapterLoader adapter_;
  std::set<Module> frozen_;
  std::set<std::string> present_, taken_;
  std::map<std::string, std::string> copies_;
  std::vector<Parameter> parameters_;
  std::vector<std::string> remarks_;
  std::vector<Weight> layout_;
};

}  // namespace sgrpo::model
