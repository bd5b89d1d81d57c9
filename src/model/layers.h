// The few layers that every family is made of. Tensors are packed: no batch dimension, no padding.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/adapter.h"
#include "model/weights.h"

namespace sgrpo::model {

/// y = x W^T + b, and what its adapter adds
struct Linear {
  at::Tensor weight, bias;  // [out, in], [out] or undefined
  Lora lora;
  at::Tensor operator()(const at::Tensor& x) const;
};
Linear take_linear(WeightLoader& weights,
                   const std::string& name,
                   int64_t in,
                   int64_t out,
                   bool has_bias,
                   const Place& place);

/// Several linear layers with one input: one product where their weights do not learn, else one
/// each.
struct LinearStack {
  WeightLoader::Stack weight, bias;  // bias may be empty
  std::vector<Lora> loras;           // one a layer
  std::vector<int64_t> sizes;
  std::vector<at::Tensor> operator()(const at::Tensor& x) const;
};
struct StackSpec {
  std::string prefix;              // "model.layers.0.self_attn."
  std::vector<std::string> names;  // q_proj, k_proj, v_proj
  std::vector<int64_t> sizes;
  bool has_bias = false;
};
LinearStack take_linear_stack(WeightLoader& weights,
                              const StackSpec& spec,
                              int64_t in,
                              const Place& place);

/// Cosines and sines of rotary angles, [T, E/2] f32 each.
struct Rotary {
  at::Tensor cos, sin;
};

/// theta^(-2i/dim), i = 0..dim/2-1, f32, computed as transformers does.
at::Tensor inverse_frequencies(int64_t dim, double theta);

}  // namespace sgrpo::model
