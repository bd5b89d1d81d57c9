// A policy that writes text: a language model, with or without a vision tower.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/model/model.h"
#include "sgrpo/policy/kind.h"

namespace sgrpo::policy {

/// What a language policy reads in one pass.
struct LanguageInputs : PolicyInputs {
  model::PackedTokens tokens;
  at::Tensor logit_rows;  // [M] i64: the row whose hidden state decides; rows may repeat

  LanguageInputs to(at::Device device) const;
};

/// What a language policy consists of.
struct LanguageParts {
  std::shared_ptr<const checkpoint::ModelFolder> folder;
  std::unique_ptr<model::Model> model;
  std::shared_ptr<const data::PromptEncoder> encoder;
  std::vector<int64_t> end_token_ids;
  model::ModelOptions options;  // as the model was opened with
  int64_t max_batch_rows = kMaxBatchRows;
};

class LanguagePolicy : public Policy {
 public:
  explicit LanguagePolicy(LanguageParts parts);

  std::string where() const override { return parts_.folder->folder().string(); }
  at::Device device() const override { return parts_.model->device(); }
  const std::shared_ptr<const data::PromptEncoder>& encoder() const override {
    return parts_.encoder;
  }
  const std::vector<int64_t>& end_token_ids() const override { return parts_.end_token_ids; }
  std::string find_bad_id(const std::vector<int64_t>& completion_ids, bool masked) const override;
  void sample(const std::vector<SamplingRequest>& requests,
              const GroupSink& finished) const override;
  std::vector<PackedBatch> pack(const std::vector<TrainRow>& rows,
                                const ScoringOptions& scoring,
                                const Budget& budget) const override;
  Scores score(const PackedBatch& batch) const override;
  ParameterArena& arena() override { return arena_; }
  std::unique_ptr<Policy> frozen_copy() const override;
  void move_toward(const Policy& other, double keep) override;
  std::vector<std::pair<std::string, at::Tensor>> followers_of(const Policy& leader) const override;
  checkpoint::ModelWriter writer() const override;
  void load_weights(const std::filesystem::path& folder,
                    const std::map<std::string, at::Tensor>& wide,
                    const std::string& run) override;
  double vision_seconds() const override { return parts_.model->vision_seconds(); }

  const model::Model& model() const { return *parts_.model; }
  model::Placement placement() const {
    return {.device = device(), .dtype = model().output_weight().scalar_type()};
  }
  const checkpoint::ModelFolder& folder() const { return *parts_.folder; }
  /// Ids that rollout.sampling_mask gives no probability.
  const std::vector<int64_t>& masked_ids() const { return masked_ids_; }
  bool has_adapter() const { return !parts_.model->adapter().parameters.empty(); }

 private:
  std::optional<int64_t> find_stop(const SamplingRequest& request,
                                   const std::vector<int64_t>& token_ids) const;
  void load_adapter(const std::filesystem::path& folder, const std::string& run);

  LanguageParts parts_;
  std::vector<int64_t> masked_ids_;
  at::Tensor masked_, no_mask_;  // [Z] i64 on the model's device
  ParameterArena arena_;
};

/// The language policy behind `policy`. Throws core::ContractError for another kind.
const LanguagePolicy& as_language(const Policy& policy);

/// The weights of a folder, opened with a line of progress where that takes a while.
std::unique_ptr<model::Model> load_language_model(
    const std::shared_ptr<const checkpoint::ModelFolder>& folder,
    const model::ModelOptions& options,
    const model::Placement& placement);

/// A checkpoint as KL reference of a language policy; see policy::open_reference.
std::unique_ptr<Policy> open_language_reference(const ReferenceRequest& request);

/// Options without anything that learns: a frozen copy or a KL reference.
model::ModelOptions without_training(model::ModelOptions options);

}  // namespace sgrpo::policy
