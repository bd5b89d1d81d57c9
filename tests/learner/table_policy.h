// The smallest policy: one logit an arm, a decision draws an arm. What a learner does with it can
// be worked out by hand.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "sgrpo/distributed/communicator.h"
#include "sgrpo/policy/policy.h"

namespace sgrpo::learner {

struct TableInputs : policy::PolicyInputs {
  bool has_images = false;
};

/// What a test may turn on.
struct TableOptions {
  std::vector<float> logits = {0, 0, 0};
  bool trains_on_images_only = false;  // as a frozen language model behind a vision tower
  bool has_broken_gradient = false;    // NaN, with a finite loss
  at::ScalarType dtype = at::kFloat;   // of what a frozen copy says it keeps
};

/// Packs as many rows as have `budget.tokens` decisions, the last row first: what comes back in the
/// caller's order came back by LossBatch::row.
class TablePolicy final : public policy::Policy {
 public:
  explicit TablePolicy(TableOptions options = {})
      : options_(std::move(options)), weight_(at::tensor(options_.logits).requires_grad_()) {
    arena_.segments.push_back({.name = "logits", .module = "language", .weight = weight_});
  }

  const at::Tensor& weight() const { return weight_; }
  std::string where() const override { return "table"; }
  at::Device device() const override { return at::kCPU; }
  const std::shared_ptr<const data::PromptEncoder>& encoder() const override { return encoder_; }
  const std::vector<int64_t>& end_token_ids() const override { return end_token_ids_; }
  std::string find_bad_id(const std::vector<int64_t>& /*ids*/, bool /*masked*/) const override {
    return "";
  }
  void sample(const std::vector<SamplingRequest>& /*requests*/,
              const GroupSink& /*finished*/) const override {}

  std::vector<policy::PackedBatch> pack(const std::vector<TrainRow>& rows,
                                        const policy::ScoringOptions& scoring,
                                        const policy::Budget& budget) const override {
    std::vector<policy::PackedBatch> batches;
    std::vector<size_t> chosen;
    int64_t decisions = 0;
    for (size_t i = rows.size(); i-- > 0;) {
      const auto own = static_cast<int64_t>(rows[i].decisions.size());
      if (!chosen.empty() && !budget.whole_groups && decisions + own > budget.tokens) {
        batches.push_back(pack_rows(rows, chosen, scoring));
        chosen.clear();
        decisions = 0;
      }
      chosen.push_back(i);
      decisions += own;
    }
    if (!chosen.empty()) batches.push_back(pack_rows(rows, chosen, scoring));
    return batches;
  }

  Scores score(const policy::PackedBatch& batch) const override {
    ++num_passes;
    const auto& inputs = dynamic_cast<const TableInputs&>(*batch.inputs);
    const bool trains = inputs.has_images || !options_.trains_on_images_only;
    const at::Tensor weight = trains ? weight_ : weight_.detach();
    const at::Tensor all = (weight / batch.scoring.temperature).log_softmax(0);
    at::Tensor logprobs = all.index_select(0, batch.loss.labels);
    // The norm of zero is 0, its gradient 0 / 0.
    if (options_.has_broken_gradient)
      logprobs = logprobs + (weight - weight.detach()).pow(2).sum().sqrt();
    return {.logprobs = logprobs, .entropy = (-(all.exp() * all).sum()).expand_as(logprobs)};
  }

  ParameterArena& arena() override { return arena_; }
  std::unique_ptr<policy::Policy> frozen_copy() const override { return nullptr; }
  void move_toward(const policy::Policy& other, double keep) override {
    const at::NoGradGuard no_grad;
    weight_.lerp_(dynamic_cast<const TablePolicy&>(other).weight_, 1.0 - keep);
  }
  std::vector<std::pair<std::string, at::Tensor>> followers_of(
      const policy::Policy& /*leader*/) const override {
    return {{"logits", weight_.detach().to(options_.dtype)}};
  }
  checkpoint::ModelWriter writer() const override { return {}; }
  void load_weights(const std::filesystem::path& /*folder*/,
                    const std::map<std::string, at::Tensor>& wide,
                    const std::string& /*run*/) override {
    const at::NoGradGuard no_grad;
    if (wide.count("logits") != 0) weight_.copy_(wide.at("logits"));
  }

  void mark_rounded_on_disk() { arena_.segments[0].is_rounded_on_disk = true; }
  mutable int64_t num_passes = 0;

 private:
  static policy::PackedBatch pack_rows(const std::vector<TrainRow>& rows,
                                       const std::vector<size_t>& chosen,
                                       const policy::ScoringOptions& scoring) {
    auto inputs = std::make_shared<TableInputs>();
    std::vector<int64_t> labels, sequence_index, injected;
    std::vector<int32_t> cu_seqlens = {0};
    std::vector<float> weight, advantages, old, reference, sampler;
    LossBatch loss;
    for (const size_t i : chosen) {
      inputs->has_images = inputs->has_images || rows[i].prompt->num_images() > 0;
      for (const Decision& decision : rows[i].decisions) {
        labels.push_back(decision.label);
        sequence_index.push_back(static_cast<int64_t>(loss.row.size()));
        injected.push_back(rows[i].origin == Origin::kGroundTruth);
        weight.push_back(decision.weight);
        advantages.push_back(decision.advantage);
        old.push_back(decision.old_logprob);
        reference.push_back(decision.ref_logprob);
        sampler.push_back(decision.sampler_logprob);
      }
      cu_seqlens.push_back(static_cast<int32_t>(labels.size()));
      loss.row.push_back(static_cast<int64_t>(i));
      loss.group.push_back(rows[i].group);
    }
    const auto i64 = at::TensorOptions().dtype(at::kLong);
    loss.labels = at::tensor(labels, i64);
    loss.sequence_index = at::tensor(sequence_index, i64);
    loss.cu_seqlens = at::tensor(cu_seqlens, at::TensorOptions().dtype(at::kInt));
    loss.is_injected = at::tensor(injected, i64).to(at::kBool);
    loss.weight = at::tensor(weight);
    loss.advantages = at::tensor(advantages);
    loss.old_logprobs = at::tensor(old);
    loss.ref_logprobs = given(reference);
    loss.sampler_logprobs = at::tensor(sampler);
    return {.inputs = std::move(inputs), .loss = std::move(loss), .scoring = scoring};
  }

  static at::Tensor given(const std::vector<float>& values) {
    const at::Tensor tensor = at::tensor(values);
    return tensor.isnan().all().item<bool>() ? at::Tensor() : tensor;
  }

  TableOptions options_;
  at::Tensor weight_;
  ParameterArena arena_;
  std::shared_ptr<const data::PromptEncoder> encoder_;
  std::vector<int64_t> end_token_ids_;
};

/// A row that draws `arms` with one advantage.
inline TrainRow make_row(const std::vector<int64_t>& arms,
                         float advantage,
                         int64_t group = -1,
                         int64_t num_images = 0) {
  auto prompt = std::make_shared<EncodedPrompt>();
  prompt->token_ids = at::zeros({1}, at::kLong);
  prompt->patches.grid_thw = at::ones({num_images, 3}, at::kLong);
  TrainRow row{.prompt = prompt, .own_ids = {}, .decisions = {}, .group = group};
  for (const int64_t arm : arms) {
    row.decisions.emplace_back();
    row.decisions.back().label = arm;
    row.decisions.back().advantage = advantage;
  }
  return row;
}

/// Rank 0 of two, the other of which sends `other` numbers whatever is asked.
class OtherRank : public distributed::Communicator {
 public:
  explicit OtherRank(std::vector<double> other) : other_(std::move(other)) {}

  int64_t rank() const override { return 0; }
  int64_t size() const override { return 2; }
  std::unique_ptr<distributed::Handle> all_reduce(at::Tensor values,
                                                  distributed::Reduction reduction) override {
    const at::Tensor other =
        at::tensor(other_, at::TensorOptions().dtype(at::kDouble)).slice(0, 0, values.numel());
    values.copy_(reduction == distributed::Reduction::kMax ? at::maximum(values, other)
                                                           : values + other);
    return local_->all_reduce(values, reduction);
  }
  std::unique_ptr<distributed::Handle> reduce_scatter(const at::Tensor& values,
                                                      at::Tensor piece) override {
    return local_->reduce_scatter(values, piece);
  }
  std::unique_ptr<distributed::Handle> all_gather(const at::Tensor& piece,
                                                  at::Tensor values) override {
    return local_->all_gather(piece, values);
  }
  std::unique_ptr<distributed::Handle> broadcast(at::Tensor values, int64_t root) override {
    return local_->broadcast(values, root);
  }
  std::vector<std::string> all_gather_bytes(const std::string& bytes) override { return {bytes}; }
  void barrier() override {}
  void note(const std::string& doing) override { local_->note(doing); }
  void abort(const std::string& reason) override { local_->abort(reason); }
  std::string failure() const override { return local_->failure(); }

 private:
  std::vector<double> other_;
  std::unique_ptr<distributed::Communicator> local_ = distributed::make_local();
};

}  // namespace sgrpo::learner
