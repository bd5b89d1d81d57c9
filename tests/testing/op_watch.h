// What a piece of code asks of its device: every operator is seen, its tensors must lie there, and
// what it costs is counted.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace sgrpo::testing {

/// Counts of a piece of a step. `ops`: operators that compute or write on the device; what only
/// looks at a tensor another way, or makes one without values, is none. `uploads`: copies from the
/// host to the device.
struct OpCounts {
  int64_t ops = 0, uploads = 0;
};

/// Sees every operator of this thread while it lives.
class OpWatch {
 public:
  explicit OpWatch(at::Device device) : device_(device) {
    current() = this;
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(&begin, &end)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
  }
  ~OpWatch() {
    at::removeCallback(handle_);
    current() = nullptr;
  }
  OpWatch(const OpWatch&) = delete;
  OpWatch& operator=(const OpWatch&) = delete;

  /// What was counted since the last call.
  OpCounts take() {
    OpCounts counts = counts_;
    counts_ = {};
    return counts;
  }
  /// Operators whose tensors lay elsewhere than on the device: "aten::add: cpu".
  const std::vector<std::string>& strays() const { return strays_; }
  /// How often each counted operator came.
  const std::map<std::string, int64_t>& by_name() const { return by_name_; }

 private:
  /// One operator that has not ended; `is_counted`: by those that it is made of.
  struct Frame : at::ObserverContext {
    bool is_counted = false;
    bool is_upload = false;
    Frame* outer = nullptr;
  };

  static OpWatch*& current() {
    static thread_local OpWatch* watch = nullptr;
    return watch;
  }

  static void collect(const c10::IValue& value, std::vector<at::Tensor>& tensors) {
    if (value.isTensor() && value.toTensor().defined()) tensors.push_back(value.toTensor());
    if (value.isTensorList())
      for (const at::Tensor& tensor : value.toTensorVector()) tensors.push_back(tensor);
    if (value.isOptionalTensorList()) {
      for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
        if (tensor && tensor->defined()) tensors.push_back(*tensor);
    }
  }

  template <class Values>
  static std::vector<at::Tensor> tensors_of(const Values& values) {
    std::vector<at::Tensor> tensors;
    for (const c10::IValue& value : values) collect(value, tensors);
    return tensors;
  }

  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
    OpWatch& watch = *current();
    auto frame = std::make_unique<Frame>();
    frame->outer = watch.innermost_;
    watch.innermost_ = frame.get();
    watch.check(function, *frame);
    return frame;
  }

  static void end(const at::RecordFunction& function, at::ObserverContext* context) {
    OpWatch& watch = *current();
    auto& frame = *static_cast<Frame*>(context);
    watch.innermost_ = frame.outer;
    frame.is_counted = frame.is_counted || watch.count(function, frame);
    if (frame.is_counted && frame.outer != nullptr) frame.outer->is_counted = true;
  }

  /// A tensor of the host beside one of the device is an upload, a number without dimensions, which
  /// LibTorch passes to device kernels by value, or a mistake.
  void check(const at::RecordFunction& function, Frame& frame) {
    const std::string name = function.name();
    const std::vector<at::Tensor> tensors = tensors_of(function.inputs());
    const auto is_here = [&](const at::Tensor& t) { return t.device().type() == device_.type(); };
    const bool is_copy = name == "aten::copy_" || name == "aten::_to_copy" || name == "aten::to";
    const bool any_here = std::any_of(tensors.begin(), tensors.end(), is_here);
    frame.is_upload =
        name == "aten::copy_" && tensors.size() == 2 && is_here(tensors[0]) && !is_here(tensors[1]);
    if (is_copy || !any_here) return;
    for (const at::Tensor& tensor : tensors) {
      if (is_here(tensor) || tensor.dim() == 0) continue;
      strays_.push_back(name + ": " + tensor.device().str());
    }
  }

  /// Whether an operator hands out its argument under another shape: its schema says so.
  static bool is_view(const at::RecordFunction& function) {
    const auto name = function.operator_name();
    if (!name) return true;
    const auto op = c10::Dispatcher::singleton().findSchema(*name);
    if (!op) return true;
    for (const c10::Argument& result : op->schema().returns()) {
      const auto* alias = result.alias_info();
      if (alias != nullptr && !alias->isWrite()) return true;
    }
    return false;
  }

  bool count(const at::RecordFunction& function, const Frame& frame) {
    const std::string name = function.name();
    if (frame.is_upload) ++counts_.uploads;
    if (frame.is_upload) return true;
    const std::vector<at::Tensor> outputs = tensors_of(function.outputs());
    const auto is_here = [&](const at::Tensor& t) { return t.device().type() == device_.type(); };
    const bool is_on_device = std::any_of(outputs.begin(), outputs.end(), is_here);
    const bool only_allocates = name.find("::empty") != std::string::npos;
    if (!is_on_device || only_allocates || is_view(function)) return false;
    ++counts_.ops;
    ++by_name_[name];
    return true;
  }

  at::Device device_;
  at::CallbackHandle handle_ = 0;
  Frame* innermost_ = nullptr;
  OpCounts counts_;
  std::vector<std::string> strays_;
  std::map<std::string, int64_t> by_name_;
};

}  // namespace sgrpo::testing
