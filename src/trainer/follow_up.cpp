// Between verdicts and injection: what asks for more groups, in bounded rounds.
#include "sgrpo/algorithm/follow_up.h"

#include <algorithm>
#include <utility>

#include "sgrpo/core/log.h"
#include "trainer/stages.h"
#include "trainer/together.h"

namespace sgrpo::trainer {
namespace {

using algorithm::FollowUpAnswer;
using algorithm::FollowUpRequest;

/// The rank of each request of all ranks, in the order of their places in the step: whoever asks,
/// the stream's next prompts go to the same places.
std::vector<int64_t> owners_of(const std::vector<FollowUpRequest>& requests,
                               const std::vector<RolloutGroup>& groups,
                               distributed::Communicator& ranks) {
  core::Json own = core::Json::array();
  for (const FollowUpRequest& request : requests) own.push_back(groups[request.group].place);
  std::vector<std::pair<int64_t, int64_t>> all;  // place, rank
  int64_t rank = 0;
  for (const std::string& bytes : ranks.all_gather_bytes(own.dump())) {
    const core::Json places = core::parse_json(bytes, "another rank");
    for (const core::Json& place : places) all.emplace_back(place.get<int64_t>(), rank);
    ++rank;
  }
  std::sort(all.begin(), all.end());
  std::vector<int64_t> owners;
  for (const auto& [place, owner] : all) owners.push_back(owner);
  return owners;
}

/// Groups of the stream's next prompts, sampled and judged as those before them.
std::vector<FollowUpAnswer> answer(State& state,
                                   const std::vector<FollowUpRequest>& requests,
                                   const std::vector<RolloutGroup>& asked,
                                   FedBatch& mutable_batch,
                                   int64_t step) {
  state.begin("load");
  const FedBatch more = state.feed->more(step, owners_of(requests, asked, *state.communicator));
  mutable_batch.prompts.epoch = more.prompts.epoch;
  std::vector<RolloutGroup> groups =
      together(*state.communicator, [&] { return roll_out(state, more, step).groups; });
  groups = judge(state, std::move(groups), more);
  std::vector<FollowUpAnswer> answers;
  for (size_t i = 0; i < requests.size(); ++i) {
    groups[i].place = asked[requests[i].group].place;
    answers.push_back({.request = requests[i], .group = std::move(groups[i])});
  }
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
    auto answers = answer(state, requests, result.all.groups, mutable_batch, step);
    result.all = method->place(std::move(result.all), std::move(answers));
  }
  const auto sums =
      state.communicator->reduce({drawn, static_cast<double>(result.all.dropped.size())});
  result.report.set("rollout/rounds", static_cast<double>(rounds));
  result.report.set("rollout/drawn", sums[0]);
  result.report.set("rollout/dropped", sums[1]);
  return result;
}

}  // namespace sgrpo::trainer
