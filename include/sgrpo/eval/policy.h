// A checkpoint opened for sampling and scoring: weights, tokenizer, template, image processor, and
// their agreement.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/data/encoder.h"
#include "sgrpo/data/options.h"
#include "sgrpo/model/model.h"

namespace sgrpo::eval {

/// Everything that belongs to one checkpoint folder.
struct Policy {
  std::shared_ptr<const checkpoint::ModelFolder> folder;
  std::unique_ptr<model::Model> model;
  std::shared_ptr<const data::PromptEncoder> encoder;
  // What ends a completion in training and evaluation: the ids of generation_config.json, and the
  // turn end, with which every ground truth ends whatever that file says.
  std::vector<int64_t> end_token_ids;
  std::vector<int64_t> masked_ids;  // never sampled
};

/// How the encoder of a policy reads rows.
struct EncoderLimits {
  std::optional<int64_t> min_pixels, max_pixels;
  std::string key_prefix = "--";  // how messages name the two: "data." before a configuration's
  int64_t max_prompt_tokens = 1 << 20;
  int64_t max_ground_truth_tokens = 0;  // 0 = no limit
  bool takes_last_turn = false;         // see data::EncoderSpec
};

/// Opens a checkpoint. Throws core::UserError where its parts contradict each other: more token ids
/// than embedding rows, a placeholder id that the tokenizer calls otherwise, a processor whose
/// patches the vision tower does not take, no turn end token.
Policy open_policy(const std::filesystem::path& path,
                   const model::ModelOptions& options,
                   const EncoderLimits& limits);

/// What makes completion ids unusable ("token id 408, expected 0..407"); empty if nothing does.
std::string find_bad_id(const Policy& policy, const std::vector<int64_t>& completion_ids);

/// Only the weights of a checkpoint, frozen: a KL reference.
std::unique_ptr<model::Model> open_reference(const std::filesystem::path& path,
                                             const model::ModelOptions& options);

/// The policy as it is now, frozen: a KL reference that shares the weights under an adapter and
/// copies the adapter alone. `options` as the policy was opened with.
std::unique_ptr<model::Model> share_as_reference(const Policy& policy,
                                                 const model::ModelOptions& options);

/// For ModelFolder::write_like: the tensors that the folder's adapter changes, merged; all others
/// stay as they are.
std::function<at::Tensor(const std::string&)> merged_weights(
    const std::shared_ptr<const checkpoint::ModelFolder>& folder);

/// The encoder of a checkpoint without reading its weights (tokenize, lint).
std::shared_ptr<const data::PromptEncoder> open_encoder(const checkpoint::ModelFolder& folder,
                                                        const EncoderLimits& limits);

/// Limits of a data section.
EncoderLimits encoder_limits(const data::DataOptions& options, int64_t max_ground_truth_tokens);

}  // namespace sgrpo::eval
