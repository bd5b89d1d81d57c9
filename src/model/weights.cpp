#include "model/weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "model/quantised.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/text.h"

namespace sgrpo::model {
namespace {

constexpr const char* kMissingRemedy =
    "; is a shard missing, or model_type, a layer count or tie_word_embeddings in config.json "
    "wrong?";

/// Tables of rotary frequencies that old checkpoints carry: they follow from config.json.
bool is_derived(const std::string& name) {
  return name.find("rotary_emb.inv_freq") != std::string::npos ||
         name.find("rotary_pos_emb.inv_freq") != std::string::npos;
}

/// The tensors behind each other along the first dimension: a view where they lie so already (parts
/// of another model's stack, whose memory is shared), else a copy.
at::Tensor joined(const std::vector<at::Tensor>& parts) {
  std::vector<int64_t> shape = parts.front().sizes().vec();
  const char* next = static_cast<const char*>(parts.front().const_data_ptr());
  shape[0] = 0;
  bool is_joined = !parts.front().is_meta();
  for (const at::Tensor& part : parts) {
    is_joined = is_joined && part.is_contiguous() && part.is_alias_of(parts.front()) &&
                part.const_data_ptr() == next;
    next += part.nbytes();
    shape[0] += part.size(0);
  }
  if (!is_joined) return at::cat(parts);
  return parts.front().as_strided(shape, parts.front().strides());
}

}  // namespace

WeightLoader::WeightLoader(const ModelSource& source, const ModelOptions& options, bool records)
    : source_(records ? nullptr : &source),
      placement_(source.placement),
      adapter_(source, options, records),
      frozen_(options.freeze.begin(), options.freeze.end()),
      present_(source.names.begin(), source.names.end()) {}

WeightLoader::WeightLoader(const ModelSource& source, const ModelOptions& options)
    : WeightLoader(source, options, /*records=*/false) {}

WeightLoader WeightLoader::recorder(const ModelSource& source, const ModelOptions& options) {
  return {source, options, /*records=*/true};
}

bool WeightLoader::has(const std::string& name) const { return present_.count(name) != 0; }

std::string WeightLoader::find_root(const Root& root, const std::string& probe) {
  const auto& names = root.names;
  const auto found = std::find_if(
      names.begin(), names.end(), [&](const std::string& name) { return has(name + probe); });
  const std::string& here = found == names.end() ? names.front() : *found;
  adapter_.add_root(here, root);
  return here;
}

at::Tensor WeightLoader::read(const std::string& name, at::IntArrayRef shape, const Place& place) {
  layout_.push_back({.name = name, .shape = shape.vec(), .place = place});
  if (source_ == nullptr) return at::empty(shape, at::TensorOptions().device(at::kMeta));
  if (!has(name)) {
    std::vector<std::string> unread;
    for (const std::string& other : source_->names)
      if (taken_.count(other) == 0) unread.push_back(other);
    throw core::UserError(core::str(source_->where,
                                    ": the checkpoint has no tensor '",
                                    name,
                                    "'",
                                    core::did_you_mean(name, unread),
                                    "; expected shape ",
                                    shape,
                                    kMissingRemedy));
  }
  SGRPO_CHECK(taken_.insert(name).second, "tensor '", name, "' is asked for twice");
  const at::Tensor tensor = source_->read(name);
  if (tensor.sizes() != shape) {
    throw core::UserError(core::str(source_->where,
                                    ": tensor '",
                                    name,
                                    "' has shape ",
                                    tensor.sizes(),
                                    " in the checkpoint, config.json says ",
                                    shape));
  }
  if (!tensor.is_floating_point()) {
    throw core::UserError(core::str(source_->where,
                                    ": tensor '",
                                    name,
                                    "' holds ",
                                    tensor.scalar_type(),
                                    ", expected floating-point numbers: load the float32 or "
                                    "bfloat16 original of a quantised checkpoint"));
  }
  return tensor;
}

at::Tensor WeightLoader::as_parameter(const at::Tensor& tensor,
                                      const std::string& name,
                                      Module module) {
  at::Tensor leaf = tensor.detach();
  if (source_ != nullptr) {
    leaf.requires_grad_(!adapter_.is_active() && frozen_.count(module) == 0);
    // However many passes add to it, a sum in bfloat16 would stop growing after a few hundred.
    if (leaf.requires_grad()) leaf.set_grad_dtype(at::kFloat);
  }
  parameters_.push_back({name, module, leaf});
  return leaf;
}

at::Tensor WeightLoader::take(const std::string& name, at::IntArrayRef shape, const Place& place) {
  at::Tensor tensor = read(name, shape, place);
  if (source_ != nullptr) tensor = tensor.to(placement_.device, placement_.dtype);
  return as_parameter(tensor, name, module_of(place.role));
}

WeightLoader::Stack WeightLoader::take_stack(const std::vector<Part>& parts,
                                             at::IntArrayRef trailing,
                                             const Place& place) {
  std::vector<int64_t> shape = {0};
  shape.insert(shape.end(), trailing.begin(), trailing.end());
  std::vector<at::Tensor> tensors;
  for (const Part& part : parts) {
    shape[0] = part.rows;
    const at::Tensor tensor = read(part.name, shape, place);
    tensors.push_back(source_ == nullptr ? tensor : tensor.to(placement_.device, placement_.dtype));
  }
  Stack stack;
  stack.all = joined(tensors);
  int64_t begin = 0;
  for (const Part& part : parts) {
    const at::Tensor slot = stack.all.narrow(0, begin, part.rows);
    stack.parts.push_back(as_parameter(slot, part.name, module_of(place.role)));
    begin += part.rows;
  }
  return stack;
}

Lora WeightLoader::take_adapter(const std::string& layer, int64_t in, int64_t out) {
  const std::string matrix = layer + ".weight";
  const auto weight = std::find_if(
      layout_.rbegin(), layout_.rend(), [&](const Weight& other) { return other.name == matrix; });
  SGRPO_CHECK(weight != layout_.rend(), "layer '", layer, "' has no matrix yet");
  weight->takes_adapter = true;
  return adapter_.take(layer, weight->module(), in, out);
}

bool WeightLoader::take_copy(const std::string& name,
                             const std::string& original,
                             const at::Tensor& value) {
  if (source_ == nullptr) return true;  // a tied head written out, as config.json says
  const at::Tensor copy = source_->read(name);
  if (copy.sizes() != value.sizes()) return false;
  // One of the two may have been read in more digits than the other.
  const bool is_same = at::equal(copy.to(value.device(), value.scalar_type()), value) ||
                       at::equal(copy, value.to(copy.device(), copy.scalar_type()));
  if (!is_same) return false;
  taken_.insert(name);
  copies_[name] = original;
  return true;
}

Adapter WeightLoader::finish_adapter() {
  std::vector<std::string> names;
  for (const Weight& weight : layout_) names.push_back(weight.name);
  return adapter_.finish(names);
}

void WeightLoader::remark_unused() {
  std::vector<std::string> extra;
  for (const std::string& name : source_->names)
    if (taken_.count(name) == 0 && !is_derived(name)) extra.push_back(name);
  if (extra.empty()) return;
  const size_t count = extra.size();
  extra.resize(std::min<size_t>(count, 5));
  remark(core::str(source_->where,
                   ": the checkpoint has ",
                   count,
                   count == 1 ? " tensor" : " tensors",
                   " that this architecture does not use",
                   count == 1 ? ": " : ", first: ",
                   core::join(extra, ", "),
                   "; left alone, as in transformers, and saved as they are (if they should be "
                   "used: is model_type or a layer count in config.json wrong?)"));
}

std::vector<Parameter> WeightLoader::finish() {
  if (source_ == nullptr) return std::move(parameters_);
  const std::string leftover = leftover_quantisation(source_->config, source_->where);
  if (!leftover.empty()) remark(leftover);
  remark_unused();
  std::map<std::string, size_t> order;
  for (const std::string& name : source_->names) order.emplace(name, order.size());
  std::sort(parameters_.begin(), parameters_.end(), [&](const Parameter& a, const Parameter& b) {
    return order.at(a.name) < order.at(b.name);
  });
  return std::move(parameters_);
}

}  // namespace sgrpo::model
