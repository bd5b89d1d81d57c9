// Copies of a language policy that do not learn, and how one of them follows the policy.
#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "policy/language_policy.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/text.h"

namespace sgrpo::policy {
namespace {

const at::Tensor& tensor_of(const std::vector<model::Parameter>& parameters,
                            const std::string& name) {
  const auto found =
      std::find_if(parameters.begin(), parameters.end(), [&](const model::Parameter& parameter) {
        return parameter.name == name;
      });
  SGRPO_CHECK(found != parameters.end(), "the model has no parameter '", name, "'");
  return found->tensor;
}

std::vector<std::string> names_of(const std::vector<model::Parameter>& parameters) {
  std::vector<std::string> names;
  for (const model::Parameter& parameter : parameters) names.push_back(parameter.name);
  return names;
}

}  // namespace

std::unique_ptr<Policy> LanguagePolicy::frozen_copy() const {
  const model::Model& own = *parts_.model;
  std::set<std::string> trained;
  for (const model::Parameter& parameter : model::trainable_parameters(own))
    trained.insert(parameter.name);
  // What trains is copied; a frozen weight is one tensor for both.
  const auto copied = [&](const std::vector<model::Parameter>& parameters,
                          const std::string& name) {
    const at::Tensor tensor = tensor_of(parameters, name).detach();
    return trained.count(name) != 0 ? tensor.clone() : tensor;
  };
  model::ModelSource source{.config = parts_.folder->config(),
                            .where = parts_.folder->config_path(),
                            .names = names_of(own.parameters()),
                            .read =
                                [&](const std::string& name) {
                                  const auto& copies = own.spec().copies;
                                  const auto copy = copies.find(name);
                                  return copied(own.parameters(),
                                                copy == copies.end() ? name : copy->second);
                                },
                            .placement = placement()};
  if (has_adapter()) {
    const model::Adapter& adapter = own.adapter();
    source.adapter =
        model::AdapterSource{.where = "the policy",
                             .rank = adapter.rank,
                             .alpha = adapter.alpha,
                             .is_rank_stabilized = adapter.is_rank_stabilized,
                             .names = names_of(adapter.parameters),
                             .read = [&](const std::string& name) {
                               return tensor_of(adapter.parameters, name).detach().clone();
                             }};
  }
  LanguageParts parts{.folder = parts_.folder,
                      .model = model::load_model(source, without_training(parts_.options)),
                      .encoder = parts_.encoder,
                      .end_token_ids = parts_.end_token_ids,
                      .options = parts_.options};
  return std::make_unique<LanguagePolicy>(std::move(parts));
}

std::vector<std::pair<std::string, at::Tensor>> Policy::followers_of(
    const Policy& /*leader*/) const {
  throw core::ContractError(core::str(where(), ": this kind of policy follows no other"));
}

std::vector<std::pair<std::string, at::Tensor>> LanguagePolicy::followers_of(
    const Policy& leader) const {
  const auto& own = has_adapter() ? parts_.model->adapter().parameters : parts_.model->parameters();
  std::vector<std::pair<std::string, at::Tensor>> followers;
  for (const model::Parameter& parameter : model::trainable_parameters(as_language(leader).model()))
    followers.emplace_back(parameter.name, tensor_of(own, parameter.name));
  return followers;
}

void LanguagePolicy::move_toward(const Policy& other, double keep) {
  SGRPO_CHECK(arena_.segments.empty(), "only a frozen copy follows another policy");
  const at::NoGradGuard no_grad;
  const model::Model& leader = as_language(other).model();
  const auto followers = followers_of(other);
  size_t next = 0;
  for (const model::Parameter& parameter : model::trainable_parameters(leader)) {
    at::Tensor target = followers[next++].second;
    SGRPO_CHECK(target.scalar_type() == at::kFloat || target.scalar_type() == at::kDouble,
                "'",
                parameter.name,
                "' is kept in fewer digits than a slow average needs");
    target.lerp_(parameter.tensor.to(target.scalar_type()), 1.0 - keep);
  }
}

}  // namespace sgrpo::policy
