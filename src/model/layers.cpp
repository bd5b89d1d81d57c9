#include "model/layers.h"

#include <ATen/ATen.h>

namespace sgrpo::model {

at::Tensor Linear::operator()(const at::Tensor& x) const {
  return lora.add_to(at::linear(x, weight, bias), x);
}

Linear take_linear(WeightLoader& weights,
                   const std::string& name,
                   int64_t in,
                   int64_t out,
                   bool has_bias,
                   const Place& place) {
  Linear linear;
  linear.weight = weights.take(name + ".weight", {out, in}, place);
  if (has_bias) linear.bias = weights.take(name + ".bias", {out}, place);
  linear.lora = weights.take_adapter(name, in, out);
  return linear;
}

std::vector<at::Tensor> LinearStack::operator()(const at::Tensor& x) const {
  const bool has_bias = bias.all.defined();
  std::vector<at::Tensor> result;
  if (at::GradMode::is_enabled() && weight.parts.front().requires_grad()) {
    for (size_t i = 0; i < sizes.size(); ++i) {
      result.push_back(at::linear(x, weight.parts[i], has_bias ? bias.parts[i] : at::Tensor()));
    }
  } else {
    result = at::linear(x, weight.all, bias.all).split_with_sizes(sizes, -1);
  }
  for (size_t i = 0; i < sizes.size(); ++i) result[i] = loras[i].add_to(result[i], x);
  return result;
}

LinearStack take_linear_stack(WeightLoader& weights,
                              const StackSpec& spec,
                              int64_t in,
                              const Place& place) {
  LinearStack stack;
  stack.sizes = spec.sizes;
  std::vector<WeightLoader::Part> matrices, biases;
  for (size_t i = 0; i < spec.names.size(); ++i) {
    matrices.push_back({spec.prefix + spec.names[i] + ".weight", spec.sizes[i]});
    biases.push_back({spec.prefix + spec.names[i] + ".bias", spec.sizes[i]});
  }
  stack.weight = weights.take_stack(matrices, {in}, place);
  if (spec.has_bias) stack.bias = weights.take_stack(biases, {}, place);
  for (size_t i = 0; i < spec.names.size(); ++i) {
    stack.loras.push_back(weights.take_adapter(spec.prefix + spec.names[i], in, spec.sizes[i]));
  }
  return stack;
}

at::Tensor inverse_frequencies(int64_t dim, double theta) {
  const at::Tensor exponent =
      at::arange(0, dim, 2, at::kLong).to(at::kFloat) / static_cast<double>(dim);
  return 1.0 / at::pow(theta, exponent);
}

}  // namespace sgrpo::model
