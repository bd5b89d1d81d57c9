// A policy: samples, packs, scores, learns through its arena, and saves itself. What trains, judges
// and reports knows this interface alone; what kind of network stands behind it does not matter.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/data/encoder.h"
#include "sgrpo/model/options.h"
#include "sgrpo/policy/encoder.h"
#include "sgrpo/types/loss_batch.h"
#include "sgrpo/types/parameter_arena.h"
#include "sgrpo/types/sampling.h"
#include "sgrpo/types/train_row.h"

namespace sgrpo::policy {

/// Completions decoded at a time unless somebody says otherwise.
constexpr int64_t kMaxBatchRows = 256;

/// What a forward pass reads; each kind of policy has its own.
struct PolicyInputs {
  virtual ~PolicyInputs() = default;
};

/// Under which distribution decisions are scored.
struct ScoringOptions {
  double temperature = 1.0;
  bool sampling_mask = true;  // placeholders and ids beyond the tokenizer get -inf
};

/// One micro-batch.
struct PackedBatch {
  std::shared_ptr<const PolicyInputs> inputs;  // opaque to everybody but the policy
  LossBatch loss;
  ScoringOptions scoring;
};

/// How rows become micro-batches.
struct Budget {
  /// Input tokens of one pass; a row that alone has more is a pass of its own
  int64_t tokens = 8192;
  bool share_prefix = true;   // rows of one prompt share it; false: every row has a copy
  bool whole_groups = false;  // never cut a group, even one beyond the budget
};

/// The learner's policy, or a frozen copy.
class Policy {
 public:
  virtual ~Policy() = default;

  /// What it was opened from, for messages.
  virtual std::string where() const = 0;
  virtual at::Device device() const = 0;
  /// Rows -> prompts, and text <-> ids of completions.
  virtual const std::shared_ptr<const data::PromptEncoder>& encoder() const = 0;
  /// What ends a completion in training and evaluation: the ids of generation_config.json, and the
  /// turn end, with which every ground truth ends whatever that file says.
  virtual const std::vector<int64_t>& end_token_ids() const = 0;
  /// What makes completion ids unusable ("token id 408, expected 0..407"); empty if nothing does.
  /// With `masked` also ids that rollout.sampling_mask gives no probability.
  virtual std::string find_bad_id(const std::vector<int64_t>& completion_ids,
                                  bool masked) const = 0;

  /// Samples a group a request; texts are filled. `finished` is called in the order in which groups
  /// end. A requested stop ends with core::Interrupted. Throws core::RunError for logits that are
  /// no numbers, naming the row.
  virtual void sample(const std::vector<SamplingRequest>& requests,
                      const GroupSink& finished) const = 0;

  /// Rows -> micro-batches in order, as many rows as fit the budget, on the policy's device. Rows
  /// of one group stay together unless a group alone exceeds the budget and may be cut. Micro-
  /// batches hold rows of this call alone. Empty for no rows.
  virtual std::vector<PackedBatch> pack(const std::vector<TrainRow>& rows,
                                        const ScoringOptions& scoring,
                                        const Budget& budget) const = 0;

  /// Log-probs and entropies of the decisions of a micro-batch, with gradient unless under
  /// NoGradGuard.
  virtual Scores score(const PackedBatch& batch) const = 0;

  /// What trains: names, weights, gradients. Empty for a frozen copy.
  virtual ParameterArena& arena() = 0;

  /// The policy as it is now, frozen. Shares what does not train.
  virtual std::unique_ptr<Policy> frozen_copy() const = 0;
  /// Of a frozen copy: each parameter that trains in `other` becomes keep * own + (1 - keep) *
  /// other's. Throws core::ContractError if the two differ in their parameters.
  virtual void move_toward(const Policy& other, double keep) = 0;

  /// Of a frozen copy: what move_toward(leader) changes, by name, to be saved and to be copied
  /// into.
  virtual std::vector<std::pair<std::string, at::Tensor>> followers_of(const Policy& leader) const;

  /// Writes the model in the layout that it was read from, each tensor in the input's dtype.
  virtual checkpoint::ModelWriter writer() const = 0;
  /// Takes over what `writer` wrote; `wide` holds, by name, what the files have in fewer digits.
  /// `run` names the run in messages. Throws core::UserError where the folder is of another model.
  virtual void load_weights(const std::filesystem::path& folder,
                            const std::map<std::string, at::Tensor>& wide,
                            const std::string& run) = 0;

  /// Seconds that passes without gradient have spent on images.
  virtual double vision_seconds() const { return 0.0; }
};

/// Opens a checkpoint of any kind that config.json names. Throws core::UserError where its parts
/// contradict each other: more token ids than embedding rows, a placeholder id that the tokenizer
/// calls otherwise, a processor whose patches the vision tower does not take, no turn end token.
/// `max_batch_rows` completions are decoded at a time; results do not depend on it.
std::unique_ptr<Policy> open(const std::filesystem::path& path,
                             const model::ModelOptions& options,
                             const EncoderLimits& limits,
                             int64_t max_batch_rows = kMaxBatchRows);

/// Opens a checkpoint to train it. Throws core::UserError also where `options` train something else
/// than the folder holds: an adapter without model.lora, a frozen module that there is not.
std::unique_ptr<Policy> open_trainable(const std::filesystem::path& path,
                                       const model::ModelOptions& options,
                                       const EncoderLimits& limits);

/// Opens another checkpoint as a KL reference of `policy`: frozen, reading the policy's prompts and
/// ids. Throws core::UserError if it reads token ids or patches otherwise than the policy.
std::unique_ptr<Policy> open_reference(const std::filesystem::path& path,
                                       const model::ModelOptions& options,
                                       const Policy& policy,
                                       bool sampling_mask);

/// For ModelFolder::write_like: the tensors that the folder's adapter changes, merged; all others
/// stay as they are.
std::function<at::Tensor(const std::string&)> merged_weights(
    const std::shared_ptr<const checkpoint::ModelFolder>& folder);

}  // namespace sgrpo::policy
