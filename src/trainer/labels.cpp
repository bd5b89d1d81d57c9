#include "trainer/labels.h"

#include <algorithm>

#include "sgrpo/core/text.h"
#include "sgrpo/eval/accuracy.h"
#include "trainer/stages.h"
#include "trainer/together.h"

namespace sgrpo::trainer {
namespace {

using core::str;

const std::vector<std::string> kLabelVerifiers = {
    "exact", "choice", "numeric", "math", "count", "regex", "command"};

/// A verifier with its parameters, whatever name it goes by.
struct VerifierChoice {
  std::string name;
  core::Json params = core::Json::object();
};

VerifierChoice verifier_called(const RunConfig& config, const std::string& name) {
  const std::string& standard = config.verifier.name;
  const std::string key = name.empty() ? standard : name;
  const core::Json* instance = core::find(config.verifiers, key);
  if (instance == nullptr)
    return {key, key == standard ? config.verifier.params : core::Json::object()};
  VerifierChoice choice{core::get_string(*instance, "name", "verifiers." + key)};
  if (const core::Json* params = core::find(*instance, "params"); params != nullptr)
    choice.params = *params;
  return choice;
}

/// The verifier inside `tagged`, else the verifier itself.
VerifierChoice innermost(const VerifierChoice& choice) {
  if (choice.name != "tagged") return choice;
  VerifierChoice inner{core::get_string_or(choice.params, "verifier", "exact", "params")};
  if (const core::Json* params = core::find(choice.params, "params"); params != nullptr)
    inner.params = *params;
  return inner;
}

/// What makes a verifier no judge of a vote; empty if nothing does.
std::string reason_against(const VerifierChoice& choice) {
  const VerifierChoice inner = innermost(choice);
  if (std::find(kLabelVerifiers.begin(), kLabelVerifiers.end(), inner.name) ==
      kLabelVerifiers.end()) {
    return str("verifier ",
               inner.name,
               ", whose answers are no ground truths: expected ",
               core::join(kLabelVerifiers, ", "),
               " or tagged around one of them");
  }
  const bool compares = core::find(inner.params, "pattern") != nullptr &&
                        core::get_int_or(inner.params, "group", 0, "params") > 0;
  if (inner.name == "regex" && !compares) {
    return "verifier regex, which compares with a ground truth only where params.pattern and "
           "params.group are set: set both";
  }
  return "";
}

/// The verifiers that judge a row which names `own`.
std::vector<std::string> judges_of(const RunConfig& config, const std::string& own) {
  if (config.rewards.empty()) return {own};
  std::vector<std::string> names;
  for (const core::Json& reward : config.rewards)
    names.push_back(core::get_string(reward, "verifier", "rewards"));
  return names;
}

void check_judges(const RunConfig& config, const std::string& own) {
  for (const std::string& name : judges_of(config, own)) {
    const std::string reason = reason_against(verifier_called(config, name));
    if (!reason.empty()) throw core::UserError(str("algorithm.labels is majority, with ", reason));
  }
}

bool votes(const RunConfig& config) {
  return config.algorithm.labels == algorithm::Labels::kMajority;
}

/// The prompt with another ground truth, or without one.
std::shared_ptr<const EncodedPrompt> labelled(const EncodedPrompt& prompt,
                                              const std::optional<std::string>& label) {
  auto result = std::make_shared<EncodedPrompt>(prompt);
  auto record = std::make_shared<PromptRecord>(*prompt.record);
  record->ground_truth = label;
  record->ground_truth_completion.reset();
  result->record = std::move(record);
  return result;
}

/// Whether a member stays masked in a group without a label. Built-in verifiers have no verdict
/// without a ground truth; a program that fails has failed.
bool stays_masked(const State& state, const GroupMember& member, const PromptRecord& record) {
  const VerdictStatus status = member.verdict.status;
  if (status == VerdictStatus::kTimeout || status == VerdictStatus::kTruncated) return true;
  if (status != VerdictStatus::kError) return false;
  const auto judges = judges_of(state.config, record.verifier);
  return std::any_of(judges.begin(), judges.end(), [&](const std::string& name) {
    return innermost(verifier_called(state.config, name)).name == "command";
  });
}

}  // namespace

void check_labels(const RunConfig& config) {
  if (!votes(config)) return;
  if (config.injection.when != algorithm::InjectWhen::kNever) {
    throw core::UserError(str(
        "algorithm.labels is majority and injection.when is ",
        core::name_of(config.injection.when),
        ": a vote of the members is no ground truth to inject; expected injection.when: never"));
  }
  check_judges(config, "");
}

void check_row_labels(const RunConfig& config, const PromptRecord& record) {
  if (votes(config)) check_judges(config, record.verifier);
}

void check_recorded_labels(const RunConfig& config, const data::RecordedGroup& group) {
  if (!votes(config)) return;
  const bool has_reward =
      std::any_of(group.completions.begin(), group.completions.end(), [](const auto& completion) {
        return completion.reward.has_value();
      });
  if (!has_reward) return;
  throw core::UserError(str(group.source.str(),
                            ": the recording has rewards, and algorithm.labels is majority, where "
                            "a vote decides them: leave 'rewards' out, or set labels: none"));
}

std::vector<RolloutGroup> label_by_majority(State& state,
                                            std::vector<RolloutGroup> groups,
                                            const std::vector<std::chrono::milliseconds>& pauses) {
  std::vector<RolloutGroup> voters = groups;
  for (RolloutGroup& group : voters) {
    group.baseline.reset();
    group.prompt = labelled(*group.prompt, std::nullopt);
  }
  voters =
      together(*state.communicator, [&] { return judge_members(state, std::move(voters), {}); });
  voters = judge_again(state, std::move(voters), pauses);
  for (size_t g = 0; g < groups.size(); ++g) {
    std::vector<std::string> answers;
    for (const GroupMember& member : voters[g].members) answers.push_back(member.verdict.answer);
    const auto winner = eval::majority(answers);
    groups[g].prompt =
        labelled(*groups[g].prompt, winner ? std::optional(answers[*winner]) : std::nullopt);
  }
  return groups;
}

std::vector<RolloutGroup> take_labels_off(
    const State& state,
    std::vector<RolloutGroup> groups,
    const std::vector<std::shared_ptr<const EncodedPrompt>>& prompts) {
  for (size_t g = 0; g < groups.size(); ++g) {
    const PromptRecord& record = *groups[g].prompt->record;
    for (GroupMember& member : groups[g].members) {
      if (record.ground_truth || stays_masked(state, member, record)) continue;
      member.verdict.reward = 0.0;
      member.verdict.status = VerdictStatus::kUnparsed;
    }
    groups[g].prompt = prompts[g];
  }
  return groups;
}

}  // namespace sgrpo::trainer
