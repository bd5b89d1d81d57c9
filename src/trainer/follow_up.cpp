// Between verdicts and injection: what asks for more groups, in bounded rounds.
#include "sgrpo/algorithm/follow_up.h"

#include "sgrpo/core/log.h"
#include "trainer/stages.h"

namespace sgrpo::trainer {
namespace {

using algorithm::FollowUpAnswer;
using algorithm::FollowUpRequest;

/// Groups of the stream's next prompts, sampled and judged as those before them.
std::vector<FollowUpAnswer> answer(State& state,
                                   const std::vector<FollowUpRequest>& requests,
                                   FedBatch& mutable_batch,
                                   int64_t step) {
  std::vector<FollowUpAnswer> answers;
  if (requests.empty()) return answers;  // other ranks ask
  state.timer.begin("load");
  const FedBatch more = state.feed->more(step, static_cast<int64_t>(requests.size()));
  mutable_batch.prompts.epoch = more.prompts.epoch;
  std::vector<RolloutGroup> groups = roll_out(state, more, step).groups;
  groups = judge(state, std::move(groups), more);
  for (size_t i = 0; i < requests.size(); ++i)
    answers.push_back({.request = requests[i], .group = std::move(groups[i])});
  return answers;
}

std::vector<FollowUpAnswer> unanswered(const std::vector<FollowUpRequest>& requests) {
  std::vector<FollowUpAnswer> answers;
  for (const FollowUpRequest& request : requests)
    answers.push_back({.request = request, .group = std::nullopt});
  return answers;
}

}  // namespace

FollowedStep follow_up(State& state,
                       std::vector<RolloutGroup> groups,
                       FedBatch& mutable_batch,
                       int64_t step) {
  const RunConfig& config = state.config;
  FollowedStep result;
  result.all.groups = std::move(groups);
  if (config.rollout.filter_groups == rollout::FilterGroups::kOff) return result;
  const auto method = algorithm::FollowUpRegistry::get(
      "rollout.filter_groups", core::name_of(config.rollout.filter_groups))();
  const algorithm::FollowUpContext context{.injection = config.injection,
                                           .injection_context = injection_context(state, step),
                                           .min_spread = config.algorithm.min_spread};
  double drawn = static_cast<double>(result.all.groups.size());
  int64_t rounds = 1;
  for (;; ++rounds) {
    const auto requests = method->ask(result.all.groups, context);
    const double lacking =
        state.communicator->reduce({static_cast<double>(requests.size())}).front();
    if (lacking == 0.0) break;
    if (rounds == config.rollout.max_generation_rounds) {
      result.all = method->place(std::move(result.all), unanswered(requests));
      core::warn("step ",
                 step,
                 ": ",
                 lacking,
                 " of its ",
                 config.trainer.prompts_per_step,
                 " groups still have no spread of rewards after ",
                 rounds,
                 rounds == 1 ? " round" : " rounds",
                 " of sampling (rollout.max_generation_rounds): it trains on the others");
      break;
    }
    drawn += static_cast<double>(requests.size());
    result.all = method->place(std::move(result.all), answer(state, requests, mutable_batch, step));
  }
  const auto sums =
      state.communicator->reduce({drawn, static_cast<double>(result.all.dropped.size())});
  result.report.set("rollout/rounds", static_cast<double>(rounds));
  result.report.set("rollout/drawn", sums[0]);
  result.report.set("rollout/dropped", sums[1]);
  return result;
}

}  // namespace sgrpo::trainer
