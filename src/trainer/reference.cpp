#include <ATen/ATen.h>

#include <array>

#include "sgrpo/core/text.h"
#include "sgrpo/rollout/rollout.h"
#include "sgrpo/tokenizer/tokenizer.h"
#include "trainer/open.h"

namespace sgrpo::trainer {
namespace {

/// A reference scores the policy's token ids: each must mean the same text to both.
void check_reference_tokenizer(const Run& run, const std::filesystem::path& reference) {
  const tokenizer::Tokenizer& policy = *run.policy.encoder->spec().tokenizer;
  const auto other = tokenizer::load_tokenizer(reference);
  const auto refuse = [&](const std::string& difference) {
    throw core::UserError(core::str("algorithm.kl_ref ",
                                    run.config.algorithm.kl_ref,
                                    " has another tokenizer than model.path ",
                                    run.config.model.path,
                                    " (",
                                    difference,
                                    "), so that its log-probs would be of other texts: give a "
                                    "checkpoint of the same family, or kl_ref: start"));
  };
  if (other->size() != policy.size())
    refuse(core::str(other->size(), " ids, the policy has ", policy.size()));
  for (int64_t id = 0; id < policy.size(); ++id) {
    const std::string found = other->decode({id}), expected = policy.decode({id});
    if (found == expected) continue;
    refuse(core::str("token id ",
                     id,
                     " is '",
                     core::printable(found),
                     "', the policy's is '",
                     core::printable(expected),
                     "'"));
  }
}

/// A reference reads the policy's patches at the policy's placeholders.
void check_reference_images(const Run& run, const model::ModelSpec& reference) {
  const auto facts = [](const model::ModelSpec& spec) {
    return std::array{
        spec.image_token_id, spec.patch_size, spec.temporal_patch_size, spec.merge_size};
  };
  const model::ModelSpec& policy = run.policy.model->spec();
  if (!policy.has_vision || (reference.has_vision && facts(reference) == facts(policy))) return;
  throw core::UserError(core::str("algorithm.kl_ref ",
                                  run.config.algorithm.kl_ref,
                                  " is a ",
                                  reference.model_type,
                                  " model that reads no images or other patches than the policy (",
                                  policy.model_type,
                                  "): give a checkpoint of the same family, or kl_ref: start"));
}

/// The checkpoint of kl_ref: DIR. Rows beyond the tokenizer's ids are padding, whose number may
/// differ from the policy's as long as they are masked.
std::unique_ptr<model::Model> open_other_reference(const Run& run) {
  const auto folder = std::make_shared<checkpoint::ModelFolder>(run.config.algorithm.kl_ref);
  check_reference_tokenizer(run, folder->folder());
  const model::ModelSpec spec = model::read_spec(folder->config(), folder->config_path());
  check_reference_images(run, spec);
  const int64_t num_rows = run.policy.model->spec().vocab_size;
  if (spec.vocab_size != num_rows && !run.config.rollout.sampling_mask) {
    throw core::UserError(core::str("algorithm.kl_ref ",
                                    run.config.algorithm.kl_ref,
                                    " has ",
                                    spec.vocab_size,
                                    " embedding rows, the policy ",
                                    num_rows,
                                    ": with rollout.sampling_mask: false they must be as many; "
                                    "set it to true, or give another reference"));
  }
  return eval::open_reference(folder, run.config.model);
}

}  // namespace

at::Tensor mask_for(const Run& run, const model::Model& model) {
  if (!run.config.rollout.sampling_mask) return at::empty({0}, at::kLong);
  const int64_t num_ids = run.policy.encoder->spec().tokenizer->size();
  return at::tensor(rollout::sampling_mask(model.spec(), num_ids), at::kLong);
}

void open_reference(Run& run) {
  const RunConfig& config = run.config;
  if (!config.algorithm.refers_to_start()) {
    run.reference = open_other_reference(run);
  } else {
    run.reference = has_adapter(run) ? eval::share_as_reference(run.policy, config.model)
                                     : eval::open_reference(run.policy.folder, config.model);
  }
  run.reference_masked_ids = mask_for(run, *run.reference);
}

}  // namespace sgrpo::trainer
