// LoRA: which layers of a model get an adapter, and where its weights come from.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sgrpo/model/lora.h"
#include "sgrpo/model/model.h"

namespace sgrpo::model {

/// The addition of one linear layer, computed in f32 whatever the layer's dtype is, as PEFT does.
struct Lora {
  at::Tensor a, b;  // [rank, in], [out, rank] f32; undefined: no adapter here
  double scale = 0.0;

  /// y + scale * (x a^T) b^T; x [T, in], y [T, out], result in y's dtype.
  at::Tensor add_to(const at::Tensor& y, const at::Tensor& x) const;
};

/// The names of one part of the model: what its tensors begin with in any generation of checkpoints
/// and adapters, and by today's class structure of transformers, after which PEFT names adapters.
struct Root {
  std::vector<std::string> names;
  std::string today;
};

/// See ModelLayout::merges.
using MergeNames = std::map<std::string, std::pair<std::string, std::string>>;

/// Gives the linear layers of one model their adapters: new ones (`options.lora`), saved ones
/// (`source.adapter`), or none.
class AdapterLoader {
 public:
  /// `records`: names and shapes alone, on the meta device. Throws core::UserError if both are
  /// given and disagree.
  AdapterLoader(const ModelSource& source, const ModelOptions& options, bool records);

  /// With an adapter nothing else trains.
  bool is_active() const { return lora_ || saved_; }
  /// The tensors of a part begin with `here` in this checkpoint.
  void add_root(const std::string& here, const Root& root) { roots_.push_back({here, root}); }
  /// The adapter of a layer (checkpoint name without ".weight"); undefined tensors if it gets none.
  Lora take(const std::string& layer, Module module, int64_t in, int64_t out);
  /// What was taken. `weights`: names of all tensors of the checkpoint. Throws core::UserError for
  /// targets that no layer matches and for saved tensors that no layer takes.
  Adapter finish(const std::vector<std::string>& weights);
  const MergeNames& merges() const { return merges_; }

 private:
  struct KnownRoot {
    std::string here;
    Root root;
  };
  const KnownRoot* root_of(const std::string& layer) const;  // null: the layer is in no part
  std::string path_today(const std::string& layer) const;
  /// The tensor's name in the adapter's file; empty if it has none.
  std::string find_saved(const std::string& layer, const char* matrix) const;
  bool is_wanted(const std::string& path);
  bool is_adapted(const std::string& layer, Module module);
  at::Tensor read(const std::string& layer, const char* matrix, at::IntArrayRef shape);
  at::Tensor add(const std::string& name, Module module, const at::Tensor& value);
  void check_targets() const;
  void check_saved() const;
  std::vector<std::string> target_modules(const std::vector<std::string>& weights) const;

  bool records_ = false;
  at::Device device_ = at::kCPU;
  std::optional<LoraOptions> lora_;
  std::optional<AdapterSource> saved_;
  std::map<std::string, std::string> saved_names_;  // with PEFT's prefix -> name in the file
  std::vector<KnownRoot> roots_;
  MergeNames merges_;
  std::set<std::string> taken_;  // of the file
  int64_t rank_ = 0;
  double alpha_ = 0.0;
  uint64_t seed_ = 0;
  std::set<Module> frozen_;
  std::set<std::string> matched_, adapted_;
  std::set<std::string> linears_;  // last parts of the paths of all layers that may have an adapter
  Adapter adapter_;
};

/// What merge_adapter gives for an adapter whose tensors all belong to layers of the base model.
TensorReader merged_reader(const ModelSource& source, const MergeNames& merges);

}  // namespace sgrpo::model
