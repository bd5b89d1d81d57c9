// A decoder with or without a vision tower: the body of every family.
#pragma once

#include <memory>

#include "model/decoder.h"
#include "model/vision.h"

namespace sgrpo::model {

class QwenModel final : public Model {
 public:
  /// `vision` may be null. `parameters` and `adapter` as WeightLoader gave them.
  QwenModel(ModelSpec spec,
            Decoder decoder,
            std::unique_ptr<VisionTower> vision,
            std::vector<Parameter> parameters,
            Adapter adapter);

  const ModelSpec& spec() const override { return spec_; }
  const std::vector<Parameter>& parameters() const override { return parameters_; }
  const Adapter& adapter() const override { return adapter_; }
  at::Tensor forward(const PackedTokens& input) const override;
  at::Tensor output_weight() const override { return decoder_.output_weight(); }
  KvCache make_cache(int64_t num_slots) const override;
  double vision_seconds() const override { return vision_seconds_; }
  at::Tensor forward_cached(const PackedTokens& input,
                            const at::Tensor& slots,
                            KvCache& cache) const override;

 private:
  VisionFeatures encode_images(const PackedTokens& input) const;
  at::Tensor run(const PackedTokens& input, const Decoder::CacheView& cache) const;

  ModelSpec spec_;
  Decoder decoder_;
  std::unique_ptr<VisionTower> vision_;
  std::vector<Parameter> parameters_;
  Adapter adapter_;
  mutable double vision_seconds_ = 0.0;  // a clock, no part of what the model computes
};

/// The spec of a text configuration; the family adds its vision facts.
ModelSpec text_spec(const std::string& model_type, const DecoderConfig& config);

}  // namespace sgrpo::model
