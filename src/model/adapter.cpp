#include "model/adapter.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "sgrpo/config/config.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/rng.h"
#include "sgrpo/core/text.h"

namespace sgrpo::model {
namespace {

constexpr const char* kPrefix = "base_model.model.";
constexpr const char* kWeight = ".weight";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Whether `path` is `end` or ends with `.end`: how PEFT matches target_modules.
bool ends_path(std::string_view path, std::string_view end) {
  return core::ends_with(path, end) &&
         (path.size() == end.size() || path[path.size() - end.size() - 1] == '.');
}

std::string without_weight(const std::string& name) {
  return name.substr(0, name.size() - std::string_view(kWeight).size());
}

/// Without the name of the adapter, which the state dict of a running model has in it:
/// "lora_A.default.weight" is "lora_A.weight".
std::string without_adapter_name(const std::string& name) {
  constexpr std::string_view kNamed = ".default.weight";
  return core::ends_with(name, kNamed) ? name.substr(0, name.size() - kNamed.size()) + kWeight
                                       : name;
}

/// The tensors of an adapter, all with PEFT's prefix and without the adapter's name, and what they
/// are called in the file.
std::map<std::string, std::string> names_in_file(const AdapterSource& saved) {
  std::map<std::string, std::string> names;
  for (const std::string& name : saved.names) {
    const std::string path = without_adapter_name(name);
    const std::string whole = core::starts_with(path, kPrefix) ? path : kPrefix + path;
    const auto [found, is_new] = names.emplace(whole, name);
    if (is_new) continue;
    throw core::UserError(core::str(saved.where,
                                    ": tensors '",
                                    found->second,
                                    "' and '",
                                    name,
                                    "' are both the ",
                                    whole,
                                    " of one adapter: the file holds two adapters, expected one"));
  }
  return names;
}

std::string name_of(const std::string& path, const char* matrix) {
  return core::str(kPrefix, path, ".lora_", matrix, kWeight);
}

double scale_of(double alpha, int64_t rank, bool is_rank_stabilized) {
  const double size = static_cast<double>(rank);
  return alpha / (is_rank_stabilized ? std::sqrt(size) : size);
}

/// The next longer end of `path` after `end` that does not begin with a number.
std::string longer_end(const std::string& path, const std::string& end) {
  size_t begin = path.size() - end.size();
  do {
    begin = begin < 2 ? 0 : path.rfind('.', begin - 2) + 1;  // npos + 1 == 0
  } while (begin > 0 && is_digit(path[begin]));
  return path.substr(begin);
}

}  // namespace

at::Tensor Lora::add_to(const at::Tensor& y, const at::Tensor& x) const {
  if (!a.defined()) return y;
  const at::Tensor low = at::linear(x.to(at::kFloat), a);  // [T, rank]
  return at::addmm(y.to(at::kFloat), low, b.t(), /*beta=*/1.0, scale).to(y.scalar_type());
}

AdapterLoader::AdapterLoader(const ModelSource& source, const ModelOptions& options, bool records)
    : records_(records),
      device_(records ? at::Device(at::kMeta) : source.placement.device),
      lora_(read_lora(options.lora)),
      saved_(source.adapter),
      seed_(options.seed),
      frozen_(options.freeze.begin(), options.freeze.end()) {
  rank_ = saved_ ? saved_->rank : lora_ ? lora_->rank : 0;
  alpha_ = saved_ ? saved_->alpha : lora_ ? lora_->alpha : 0.0;
  if (!saved_) return;
  if (lora_ && (lora_->rank != saved_->rank || lora_->alpha != saved_->alpha)) {
    throw core::UserError(core::str(saved_->where,
                                    ": the adapter has rank ",
                                    saved_->rank,
                                    " and alpha ",
                                    saved_->alpha,
                                    ", but model.lora says ",
                                    lora_->rank,
                                    " and ",
                                    lora_->alpha,
                                    ": give it the adapter's values to go on training it"));
  }
  saved_names_ = names_in_file(*saved_);
}

const AdapterLoader::KnownRoot* AdapterLoader::root_of(const std::string& layer) const {
  const KnownRoot* longest = nullptr;
  for (const KnownRoot& root : roots_) {
    if (!core::starts_with(layer, root.here)) continue;
    if (longest == nullptr || root.here.size() > longest->here.size()) longest = &root;
  }
  return longest;
}

std::string AdapterLoader::path_today(const std::string& layer) const {
  const KnownRoot* root = root_of(layer);
  return root == nullptr ? layer : root->root.today + layer.substr(root->here.size());
}

std::string AdapterLoader::find_saved(const std::string& layer, const char* matrix) const {
  const KnownRoot* root = root_of(layer);
  if (root == nullptr) return "";
  const std::string rest = layer.substr(root->here.size());
  for (const std::string& name : root->root.names) {
    const auto found = saved_names_.find(name_of(name + rest, matrix));
    if (found != saved_names_.end()) return found->second;
  }
  return "";
}

bool AdapterLoader::is_wanted(const std::string& path) {
  if (lora_->targets.empty()) return true;
  bool is_matched = false;
  for (const std::string& target : lora_->targets) {
    if (!ends_path(path, target)) continue;
    matched_.insert(target);
    is_matched = true;
  }
  return is_matched;
}

bool AdapterLoader::is_adapted(const std::string& layer, Module module) {
  const std::string path = path_today(layer);
  if (!saved_) return lora_ && frozen_.count(module) == 0 && is_wanted(path);
  const bool is_saved = !find_saved(layer, "A").empty();
  if (lora_ && is_wanted(path) != is_saved) {
    throw core::UserError(core::str(saved_->where,
                                    ": the adapter ",
                                    is_saved ? "covers " : "leaves out ",
                                    path,
                                    ", but model.lora.targets ",
                                    is_saved ? "leave it out" : "cover it",
                                    ": give it the adapter's targets to go on training it"));
  }
  return is_saved;
}

at::Tensor AdapterLoader::read(const std::string& layer,
                               const char* matrix,
                               at::IntArrayRef shape) {
  const std::string name = find_saved(layer, matrix);
  if (name.empty()) {
    throw core::UserError(core::str(saved_->where,
                                    ": the adapter has no tensor '",
                                    name_of(path_today(layer), matrix),
                                    "'; expected shape ",
                                    shape));
  }
  taken_.insert(name);
  const at::Tensor tensor = saved_->read(name);
  if (tensor.sizes() != shape) {
    throw core::UserError(core::str(saved_->where,
                                    ": tensor '",
                                    name,
                                    "' has shape ",
                                    tensor.sizes(),
                                    ", expected ",
                                    shape,
                                    ": the adapter was made for another base model or rank"));
  }
  return tensor;
}

at::Tensor AdapterLoader::add(const std::string& name, Module module, const at::Tensor& value) {
  at::Tensor leaf = value.to(device_, at::kFloat).detach();
  if (!records_) leaf.requires_grad_(frozen_.count(module) == 0);
  adapter_.parameters.push_back({name, module, leaf});
  return leaf;
}

Lora AdapterLoader::take(const std::string& layer, Module module, int64_t in, int64_t out) {
  const std::string path = path_today(layer);
  linears_.insert(longer_end(path, ""));
  if (!is_adapted(layer, module)) return {};
  adapted_.insert(path);
  const std::string name_a = name_of(path, "A"), name_b = name_of(path, "B");
  Lora result{
      .a = {}, .b = {}, .scale = scale_of(alpha_, rank_, saved_ && saved_->is_rank_stabilized)};
  if (saved_) {
    result.a = add(name_a, module, read(layer, "A", {rank_, in}));
    result.b = add(name_b, module, read(layer, "B", {out, rank_}));
    merges_[layer + kWeight] = {find_saved(layer, "A"), find_saved(layer, "B")};
    return result;
  }
  const at::Device where = records_ ? device_ : at::Device(at::kCPU);
  const at::Tensor a = at::empty({rank_, in}, at::TensorOptions().device(where));
  if (!records_) {  // Kaiming's uniform bound with a = sqrt(5), as PEFT: 1 / sqrt(in)
    const double bound = 1.0 / std::sqrt(static_cast<double>(in));
    const core::RandomKey key{
        .seed = seed_, .prompt_index = adapted_.size(), .purpose = core::Purpose::kAdapter};
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(key.bits());
    a.uniform_(-bound, bound, generator);
  }
  result.a = add(name_a, module, a);
  result.b = add(name_b, module, at::zeros({out, rank_}, a.options()));
  return result;
}

void AdapterLoader::check_targets() const {
  if (!lora_ || saved_) return;
  const std::vector<std::string> known(linears_.begin(), linears_.end());
  for (const std::string& target : lora_->targets) {
    if (matched_.count(target) != 0) continue;
    throw config::ConfigError(core::str("model.lora.targets: no layer that trains is called '",
                                        target,
                                        "'",
                                        core::did_you_mean(target, known),
                                        "; this model's linear layers: ",
                                        core::join(known, ", "),
                                        " (frozen modules get no adapter)"));
  }
  if (adapted_.empty()) {
    throw config::ConfigError(
        "model.lora is set, but model.freeze leaves no layer to adapt: remove a module from it");
  }
}

void AdapterLoader::check_saved() const {
  if (!saved_) return;
  for (const std::string& name : saved_->names) {
    if (taken_.count(name) != 0) continue;
    throw core::UserError(core::str(saved_->where,
                                    ": tensor '",
                                    name,
                                    "' belongs to no linear layer of the base model: the adapter "
                                    "was made for another model, or is of a kind other than LoRA "
                                    "on linear layers"));
  }
}

std::vector<std::string> AdapterLoader::target_modules(
    const std::vector<std::string>& weights) const {
  std::vector<std::string> others;  // layers that must not match
  for (const std::string& name : weights) {
    if (!core::ends_with(name, kWeight)) continue;
    const std::string path = path_today(without_weight(name));
    if (adapted_.count(path) == 0) others.push_back(path);
  }
  std::set<std::string> targets;
  for (const std::string& path : adapted_) {
    std::string end = longer_end(path, "");
    const auto matches = [&](const std::string& other) { return ends_path(other, end); };
    while (end != path && std::any_of(others.begin(), others.end(), matches)) {
      end = longer_end(path, end);
    }
    targets.insert(end);
  }
  return {targets.begin(), targets.end()};
}

TensorReader merged_reader(const ModelSource& source, const MergeNames& merges) {
  return [source, merges](const std::string& name) -> at::Tensor {
    const auto found = merges.find(name);
    if (found == merges.end()) return {};
    const AdapterSource& saved = *source.adapter;
    const auto& [a, b] = found->second;
    return at::addmm(source.read(name).to(at::kFloat),
                     saved.read(b).to(at::kFloat),
                     saved.read(a).to(at::kFloat),
                     /*beta=*/1.0,
                     scale_of(saved.alpha, saved.rank, saved.is_rank_stabilized));
  };
}

Adapter AdapterLoader::finish(const std::vector<std::string>& weights) {
  check_targets();
  check_saved();
  if (!is_active()) return {};
  adapter_.rank = rank_;
  adapter_.alpha = alpha_;
  adapter_.is_rank_stabilized = saved_ && saved_->is_rank_stabilized;
  adapter_.target_modules = target_modules(weights);
  return std::move(adapter_);
}

}  // namespace sgrpo::model
