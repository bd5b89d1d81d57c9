#include <ATen/ATen.h>

#include <array>

#include "policy/language_policy.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/text.h"
#include "sgrpo/tokenizer/tokenizer.h"

namespace sgrpo::policy {
namespace {

/// A reference scores the policy's token ids: each must mean the same text to both.
void check_tokenizer(const Policy& like,
                     const std::string& path,
                     const std::filesystem::path& reference) {
  const tokenizer::Tokenizer& policy = *like.encoder()->spec().tokenizer;
  const auto other = tokenizer::load_tokenizer(reference);
  const auto refuse = [&](const std::string& difference) {
    throw core::UserError(core::str("algorithm.kl_ref ",
                                    path,
                                    " has another tokenizer than model.path ",
                                    like.where(),
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
void check_images(const LanguagePolicy& like,
                  const std::string& path,
                  const model::ModelSpec& reference) {
  const auto facts = [](const model::ModelSpec& spec) {
    return std::array{
        spec.image_token_id, spec.patch_size, spec.temporal_patch_size, spec.merge_size};
  };
  const model::ModelSpec& policy = like.model().spec();
  if (!policy.has_vision || (reference.has_vision && facts(reference) == facts(policy))) return;
  throw core::UserError(core::str("algorithm.kl_ref ",
                                  path,
                                  " is a ",
                                  reference.model_type,
                                  " model that reads no images or other patches than the policy (",
                                  policy.model_type,
                                  "): give a checkpoint of the same family, or kl_ref: start"));
}

}  // namespace

// Rows beyond the tokenizer's ids are padding, whose number may differ from the policy's as long as
// they are masked.
std::unique_ptr<Policy> open_language_reference(const ReferenceRequest& request) {
  const LanguagePolicy& like = as_language(request.policy);
  const auto& folder = request.folder;
  const std::string& name = request.path;
  check_tokenizer(like, name, folder->folder());
  const model::ModelSpec spec = model::read_spec(folder->config(), folder->config_path());
  check_images(like, name, spec);
  const int64_t num_rows = like.model().spec().vocab_size;
  if (spec.vocab_size != num_rows && !request.sampling_mask) {
    throw core::UserError(core::str("algorithm.kl_ref ",
                                    name,
                                    " has ",
                                    spec.vocab_size,
                                    " embedding rows, the policy ",
                                    num_rows,
                                    ": with rollout.sampling_mask: false they must be as many; "
                                    "set it to true, or give another reference"));
  }
  LanguageParts parts{
      .folder = folder,
      .model = load_language_model(folder, without_training(request.options), like.placement()),
      .encoder = like.encoder(),
      .end_token_ids = like.end_token_ids(),
      .options = request.options};
  return std::make_unique<LanguagePolicy>(std::move(parts));
}

}  // namespace sgrpo::policy
