// Our side of tests/bench/compare_peers.py: the same model, prompts and lengths as peer.py, timed
// inside the process.
//
//   bench_ours generate --model DIR --group-size 16 --new 64 --threads 2 [--repeats 3]
//   bench_ours update   --model DIR --groups 4 --group-size 16 --new 64 --threads 2 [--repeats 3]
//
// Prints one JSON line with the median, as peer.py does.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>

#include "sgrpo/algorithm/loss.h"
#include "sgrpo/algorithm/rows.h"
#include "sgrpo/core/rng.h"
#include "sgrpo/data/rows.h"
#include "sgrpo/learner/learner.h"
#include "sgrpo/policy/policy.h"

namespace sgrpo {
namespace {

struct Arguments {
  std::string what, model;
  int64_t groups = 4, group_size = 16, new_tokens = 64, threads = 2, repeats = 3;
};

Arguments parse(int argc, char** argv) {
  Arguments result;
  result.what = argc > 1 ? argv[1] : "";
  const std::map<std::string, int64_t*> numbers = {{"--groups", &result.groups},
                                                   {"--group-size", &result.group_size},
                                                   {"--new", &result.new_tokens},
                                                   {"--threads", &result.threads},
                                                   {"--repeats", &result.repeats}};
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--model") {
      result.model = argv[i + 1];
    } else if (const auto found = numbers.find(flag); found != numbers.end()) {
      *found->second = std::stoll(argv[i + 1]);
    } else {
      throw core::UserError("unknown flag " + flag);
    }
  }
  return result;
}

using Prompts = std::vector<std::shared_ptr<const EncodedPrompt>>;

Prompts load_prompts(const policy::Policy& policy, const std::string& folder) {
  Prompts prompts;
  for (const data::RowResult& row : data::read_rows(folder + "/prompts.jsonl", {})) {
    prompts.push_back(std::make_shared<EncodedPrompt>(
        policy.encoder()->encode(std::make_shared<PromptRecord>(std::get<PromptRecord>(row)))));
  }
  return prompts;
}

/// Median, fastest and slowest of `repeats` runs after one warm-up, in seconds.
template <class Function>
std::array<double, 3> timed(int64_t repeats, Function&& run) {
  run();
  std::vector<double> seconds;
  for (int64_t i = 0; i < repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

std::array<double, 3> time_generate(const Arguments& arguments,
                                    const policy::Policy& policy,
                                    const Prompts& prompts) {
  SamplingRequest request;
  request.prompt = prompts.front();
  request.num_samples = arguments.group_size;
  request.options.max_new_tokens = arguments.new_tokens;  // no token ends a completion
  return timed(arguments.repeats, [&] {
    policy.sample({request}, [&](size_t /*request*/, RolloutGroup&& group) {
      TORCH_CHECK(static_cast<int64_t>(group.members.back().completion.token_ids.size()) ==
                      arguments.new_tokens,
                  "a completion has another length than asked for");
    });
  });
}

/// Groups with random completions of the full length and random advantages.
std::vector<RolloutGroup> random_groups(const Arguments& arguments, const Prompts& prompts) {
  std::vector<RolloutGroup> groups(static_cast<size_t>(arguments.groups));
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].prompt = prompts[g % prompts.size()];
    for (int64_t member = 0; member < arguments.group_size; ++member) {
      const core::RandomKey key{.prompt_index = g, .sample_index = static_cast<uint64_t>(member)};
      GroupMember one;
      for (int64_t t = 0; t < arguments.new_tokens; ++t) {
        one.completion.token_ids.push_back(
            static_cast<int64_t>(key.below(256, static_cast<uint64_t>(t))));
      }
      one.set_advantage(key.normal(1000));
      groups[g].members.push_back(std::move(one));
    }
  }
  return groups;
}

std::array<double, 3> time_update(const Arguments& arguments,
                                  std::unique_ptr<policy::Policy> policy,
                                  const Prompts& prompts) {
  const auto communicator = distributed::make_local();
  learner::Learner learner(
      std::move(policy), optim::OptimOptions{}, policy::Budget{}, *communicator);
  learner::StepPart part;
  part.rows = algorithm::rows_of(random_groups(arguments, prompts));
  part.scoring.sampling_mask = false;
  return timed(arguments.repeats, [&] { learner.update({part}, {}, {.lr = 1.0e-6}); });
}

int run(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  at::set_num_threads(static_cast<int>(arguments.threads));
  model::ModelOptions options;
  options.path = arguments.model;
  auto policy = policy::open(arguments.model, options, policy::EncoderLimits{});
  const Prompts prompts = load_prompts(*policy, arguments.model);
  const bool is_update = arguments.what == "update";
  const auto [median, low, high] = is_update ? time_update(arguments, std::move(policy), prompts)
                                             : time_generate(arguments, *policy, prompts);
  const double tokens = static_cast<double>(arguments.group_size * arguments.new_tokens *
                                            (is_update ? arguments.groups : 1));
  std::cout << core::dump_ascii({{"what", "sgrpo " + arguments.what},
                                 {"tokens_per_s", tokens / median},
                                 {"seconds", median},
                                 {"lo", low},
                                 {"hi", high},
                                 {"prompt_tokens", prompts.front()->num_tokens()},
                                 {"threads", arguments.threads}})
            << "\n";
  return 0;
}

}  // namespace
}  // namespace sgrpo

int main(int argc, char** argv) {
  try {
    return sgrpo::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
