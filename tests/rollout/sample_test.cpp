#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <cmath>
#include <set>

#include "reference/sampling.h"
#include "sgrpo/algorithm/rows.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/rollout/rollout.h"
#include "testing/tiny_policy.h"

namespace sgrpo::rollout {
namespace {

using testing::TinyPolicy;

using testing::Prompts;

/// What a test changes about a call.
struct Options : SamplingOptions {
  int64_t group_size = 3;
  core::RandomKey key = {.seed = 11, .step = 4};
  DecodeOptions decode;
};

Options default_options() {
  Options options;
  options.max_new_tokens = 12;
  options.end_token_ids = TinyPolicy::instance().policy().end_token_ids();
  options.decode.masked_ids = TinyPolicy::instance().policy().masked_ids();
  return options;
}

std::vector<SamplingRequest> requests_of(const Prompts& prompts, const Options& options) {
  std::vector<SamplingRequest> requests;
  for (const auto& prompt : prompts) {
    core::RandomKey key = options.key;
    key.prompt_index = 100 + requests.size();
    requests.push_back(
        {.prompt = prompt, .num_samples = options.group_size, .key = key, .options = options});
  }
  return requests;
}

std::vector<RolloutGroup> sample(const std::vector<SamplingRequest>& requests,
                                 const DecodeOptions& options,
                                 const model::Model& model = TinyPolicy::instance().model()) {
  std::vector<RolloutGroup> groups(requests.size());
  sample(model, requests, options, [&](size_t request, RolloutGroup&& group) {
    groups[request] = std::move(group);
  });
  return groups;
}

std::vector<RolloutGroup> sample(const Prompts& prompts, const Options& options) {
  return sample(requests_of(prompts, options), options.decode);
}

using Ids = std::vector<std::vector<int64_t>>;

/// Token ids of every member of every group.
Ids ids_of(const std::vector<RolloutGroup>& groups) {
  Ids result;
  for (const RolloutGroup& group : groups)
    for (const GroupMember& member : group.members) result.push_back(member.completion.token_ids);
  return result;
}

void expect_equal_to_slow_twin(const Options& options) {
  const auto prompts = TinyPolicy::instance().prompts();
  const auto requests = requests_of(prompts, options);
  const auto groups = sample(requests, options.decode);
  ASSERT_EQ(groups.size(), requests.size());
  for (size_t p = 0; p < groups.size(); ++p) {
    ASSERT_EQ(groups[p].size(), options.group_size);
    for (int64_t g = 0; g < options.group_size; ++g) {
      const Completion& fast = groups[p].members[static_cast<size_t>(g)].completion;
      const auto slow = reference::sample_slowly(
          TinyPolicy::instance().model(), requests[p], options.decode.masked_ids, g);
      EXPECT_EQ(fast.token_ids, slow.token_ids) << "prompt " << p << ", sample " << g;
      if (fast.token_ids != slow.token_ids) continue;
      for (size_t t = 0; t < slow.logprobs.size(); ++t)
        EXPECT_NEAR(fast.sampler_logprobs[t], slow.logprobs[t], 1e-5) << "token " << t;
      EXPECT_NEAR(fast.entropy_sum, slow.entropy_sum, 1e-4) << "prompt " << p << ", sample " << g;
    }
  }
}

TEST(SampleGroups, completions_beyond_the_models_positions_are_warned_of_once) {
  testing::TinyCheckpoint tiny;
  tiny.config["text_config"]["max_position_embeddings"] = 100;
  const TinyPolicy policy(tiny);
  const auto prompt = policy.prompt("what is this");
  Options options = default_options();
  const testing::LogCapture log;
  options.max_new_tokens = 100 - prompt->next_position();
  options.group_size = 1;
  sample(requests_of({prompt}, options), options.decode, policy.model());
  EXPECT_EQ(log.text(), "") << "the last position is one of the model's";
  ++options.max_new_tokens;
  sample(requests_of({prompt}, options), options.decode, policy.model());
  sample(requests_of({prompt, prompt}, options), options.decode, policy.model());
  EXPECT_EQ(log.text(),
            "a prompt with its completion may take 101 positions, but the model has 100 "
            "(max_position_embeddings in config.json), and what it computes beyond them is of "
            "little worth: lower max_new_tokens, or leave out or shorten long prompts "
            "(data.max_prompt_tokens)\n");
}

TEST(SampleGroups, sampling_equals_a_full_forward_per_token) {
  expect_equal_to_slow_twin(default_options());
}

TEST(SampleGroups, sampling_with_temperature_top_k_and_top_p_equals_the_slow_twin) {
  Options options = default_options();
  options.temperature = 1.7;
  options.top_k = 40;
  options.top_p = 0.8;
  expect_equal_to_slow_twin(options);
  options.top_k = 0;
  expect_equal_to_slow_twin(options);
}

TEST(SampleGroups, greedy_decoding_equals_the_slow_twin_for_every_member) {
  Options options = default_options();
  options.greedy = true;
  options.group_size = 2;
  expect_equal_to_slow_twin(options);
  const auto prompts = TinyPolicy::instance().prompts();
  for (const RolloutGroup& group : sample(prompts, options)) {
    EXPECT_EQ(group.members[0].completion.token_ids, group.members[1].completion.token_ids);
  }
}

TEST(SampleGroups, sampler_logprobs_equal_the_trainers_scores) {
  const auto prompts = TinyPolicy::instance().prompts();
  Options options = default_options();
  options.max_new_tokens = 40;
  options.end_token_ids.clear();
  options.temperature = 0.7;
  const auto groups = sample(prompts, options);
  const auto& policy = TinyPolicy::instance().policy();
  for (const bool share_prefix : {true, false}) {
    int64_t tokens = 0;
    double gap = 0.0;
    for (const policy::PackedBatch& batch :
         policy.pack(algorithm::rows_of(groups),
                     {.temperature = options.temperature},
                     {.tokens = 300, .share_prefix = share_prefix})) {
      const Scores scores = policy.score(batch);
      gap =
          std::max(gap, (scores.logprobs - batch.loss.sampler_logprobs).abs().max().item<double>());
      tokens += batch.loss.num_decisions();
    }
    EXPECT_EQ(tokens, 5 * 3 * 40);
    EXPECT_LT(gap, 1e-5) << "share_prefix " << share_prefix;
  }
}

TEST(SampleGroups, completions_do_not_depend_on_the_batch_they_are_decoded_in) {
  const auto prompts = TinyPolicy::instance().prompts();
  Options options = default_options();
  const auto requests = requests_of(prompts, options);
  const Ids expected = ids_of(sample(requests, options.decode));
  for (const int64_t rows : {1, 3, 7, 64}) {
    options.decode.max_batch_rows = rows;
    EXPECT_EQ(ids_of(sample(requests, options.decode)), expected) << rows << " rows a batch";
  }
  for (size_t p = 0; p < requests.size(); ++p) {
    const Ids alone = ids_of(sample(std::vector{requests[p]}, options.decode));
    EXPECT_EQ(alone,
              Ids(expected.begin() + static_cast<std::ptrdiff_t>(3 * p),
                  expected.begin() + static_cast<std::ptrdiff_t>(3 * p + 3)));
  }
}

TEST(SampleGroups, requests_of_different_kinds_are_decoded_together_as_alone) {
  const auto prompts = TinyPolicy::instance().prompts();
  const Options options = default_options();
  auto requests = requests_of(prompts, options);
  requests[0].options.greedy = true;
  requests[1].options.temperature = 1.7;
  requests[1].num_samples = 2;
  requests[2].options.top_k = 5;
  requests[2].options.max_new_tokens = 3;
  requests[3].options.sampling_mask = false;
  requests[3].first_index = 7;
  const auto together = sample(requests, options.decode);
  for (size_t p = 0; p < requests.size(); ++p) {
    const auto alone = sample(std::vector{requests[p]}, options.decode);
    EXPECT_EQ(ids_of({together[p]}), ids_of(alone)) << "request " << p;
    EXPECT_EQ(together[p].size(), requests[p].num_samples);
    EXPECT_EQ(together[p].members[0].completion.sample_index, requests[p].first_index);
  }
}

TEST(SampleGroups, smaller_group_is_the_beginning_of_a_larger_one) {
  const auto prompts = TinyPolicy::instance().prompts();
  Options options = default_options();
  options.group_size = 8;
  const auto large = sample(prompts, options);
  options.group_size = 2;
  const auto small = sample(prompts, options);
  for (size_t p = 0; p < large.size(); ++p) {
    for (size_t g = 0; g < 2; ++g) {
      EXPECT_EQ(small[p].members[g].completion.token_ids, large[p].members[g].completion.token_ids);
      EXPECT_EQ(large[p].members[g].completion.sample_index, static_cast<int64_t>(g));
    }
  }
}

TEST(SampleGroups, key_decides_same_seed_same_completions_other_key_others) {
  const auto prompts = TinyPolicy::instance().prompts();
  Options options = default_options();
  const Ids first = ids_of(sample(prompts, options));
  EXPECT_EQ(ids_of(sample(prompts, options)), first);
  options.key.step = 5;
  EXPECT_NE(ids_of(sample(prompts, options)), first);
  options.key = {.seed = 12, .step = 4};
  EXPECT_NE(ids_of(sample(prompts, options)), first);
  auto elsewhere = requests_of({prompts[0]}, default_options());
  elsewhere[0].key.prompt_index = 999;
  EXPECT_NE(ids_of(sample(elsewhere, options.decode)), Ids(first.begin(), first.begin() + 3));
  EXPECT_EQ(std::set<std::vector<int64_t>>(first.begin(), first.begin() + 3).size(), 3U)
      << "members of a group have keys of their own";
}

TEST(SampleGroups, end_token_is_kept_and_ends_the_completion) {
  const auto prompts = TinyPolicy::instance().prompts();
  Options options = default_options();
  options.group_size = 16;
  // A quarter of the vocabulary ends a completion: some stop early, some never.
  options.end_token_ids.clear();
  for (int64_t id = 20; id < 400; id += 4) options.end_token_ids.push_back(id);
  const std::set<int64_t> ends(options.end_token_ids.begin(), options.end_token_ids.end());
  int64_t stopped = 0, cut = 0;
  for (const RolloutGroup& group : sample(prompts, options)) {
    for (const GroupMember& member : group.members) {
      const auto& ids = member.completion.token_ids;
      const bool is_stopped = member.completion.finish_reason == FinishReason::kStop;
      is_stopped ? ++stopped : ++cut;
      EXPECT_EQ(ends.count(ids.back()) != 0, is_stopped);
      EXPECT_TRUE(is_stopped || ids.size() == 12U);
      for (size_t t = 0; t + 1 < ids.size(); ++t) EXPECT_EQ(ends.count(ids[t]), 0U);
      EXPECT_EQ(member.completion.sampler_logprobs.size(), ids.size());
    }
  }
  EXPECT_GT(stopped, 10);
  EXPECT_GT(cut, 0);
}

TEST(SampleGroups, end_token_as_the_last_allowed_token_is_a_stop) {
  const auto prompts = TinyPolicy::instance().prompts();
  Options options = default_options();
  options.max_new_tokens = 1;
  options.end_token_ids.clear();
  for (int64_t id = 0; id < 408; ++id) options.end_token_ids.push_back(id);
  for (const RolloutGroup& group : sample(prompts, options)) {
    for (const GroupMember& member : group.members) {
      EXPECT_EQ(member.completion.finish_reason, FinishReason::kStop);
      EXPECT_EQ(member.completion.token_ids.size(), 1U);
    }
  }
}

TEST(SampleGroups, without_ends_all_go_on_to_the_last_token) {
  const auto prompts = TinyPolicy::instance().prompts();
  Options options = default_options();
  options.end_token_ids.clear();
  for (const RolloutGroup& group : sample(prompts, options)) {
    for (const GroupMember& member : group.members) {
      EXPECT_EQ(member.completion.token_ids.size(), 12U);
      EXPECT_EQ(member.completion.finish_reason, FinishReason::kLength);
    }
  }
}

TEST(SampleGroups, a_group_is_handed_over_when_its_last_row_ends) {
  const auto prompts = TinyPolicy::instance().prompts();
  Options options = default_options();
  options.end_token_ids.clear();
  auto requests = requests_of(prompts, options);
  for (size_t p = 0; p < requests.size(); ++p)
    requests[p].options.max_new_tokens = 20 - 3 * static_cast<int64_t>(p);
  std::vector<size_t> order;
  sample(TinyPolicy::instance().model(),
         requests,
         options.decode,
         [&](size_t request, RolloutGroup&& group) {
           order.push_back(request);
           EXPECT_EQ(group.prompt, requests[request].prompt);
           EXPECT_EQ(group.prompt_index, static_cast<int64_t>(100 + request));
         });
  EXPECT_EQ(order, (std::vector<size_t>{4, 3, 2, 1, 0}));
}

TEST(SampleGroups, masked_ids_are_never_sampled) {
  const auto prompts = TinyPolicy::instance().prompts();
  Options options = default_options();
  options.temperature = 1000.0;  // nearly uniform over what is left
  options.group_size = 64;
  options.end_token_ids.clear();
  const auto draws = [&] {
    std::set<int64_t> seen;
    for (const auto& ids : ids_of(sample(prompts, options))) seen.insert(ids.begin(), ids.end());
    return seen;
  };
  const std::set<int64_t> seen = draws();  // 3840 draws from 398 ids
  EXPECT_GT(seen.size(), 390U);
  for (const int64_t id : options.decode.masked_ids) EXPECT_EQ(seen.count(id), 0U) << id;
  options.sampling_mask = false;
  EXPECT_EQ(draws().size(), 408U) << "without a mask, at this temperature, everything appears";
}

TEST(SamplingMask, covers_placeholders_and_ids_beyond_the_tokenizer) {
  const auto& policy = TinyPolicy::instance().policy();
  EXPECT_EQ(policy.masked_ids(),
            (std::vector<int64_t>{5, 6, 400, 401, 402, 403, 404, 405, 406, 407}));
  EXPECT_EQ(policy.end_token_ids(), (std::vector<int64_t>{2, 0}));
}

TEST(SampleGroups, stop_request_ends_with_an_interruption) {
  const auto prompts = TinyPolicy::instance().prompts();
  Options options = default_options();
  options.decode.max_batch_rows = 3;
  int64_t finished = 0;
  EXPECT_THROW(sample(TinyPolicy::instance().model(),
                      requests_of(prompts, options),
                      options.decode,
                      [&](size_t, RolloutGroup&&) {
                        if (++finished == 2) core::request_stop();
                      }),
               core::Interrupted);
  core::request_stop(false);
  EXPECT_EQ(finished, 2);
}

TEST(SampleGroups, logits_that_are_no_numbers_give_an_error_and_no_token) {
  const TinyPolicy broken;
  const auto prompts = broken.prompts();
  {
    const at::NoGradGuard no_grad;
    for (const model::Parameter& parameter : broken.model().parameters()) {
      at::Tensor weight = parameter.tensor;
      if (parameter.module == model::Module::kLanguage) weight.fill_(std::nan(""));
    }
  }
  for (const bool greedy : {false, true}) {
    Options options = default_options();
    options.greedy = greedy;
    EXPECT_EQ(testing::message_of<core::RunError>(
                  [&] { sample(requests_of(prompts, options), options.decode, broken.model()); }),
              core::str("sampling token 0 of prompt 100 (",
                        prompts[0]->record->source.str(),
                        ", id 'what is this'): the model's logits are not finite; take an earlier "
                        "checkpoint or model.dtype=float32"));
  }
}

TEST(SampleGroups, options_without_meaning_are_refused) {
  const auto prompts = TinyPolicy::instance().prompts();
  Options options = default_options();
  const auto error = [&] {
    const std::string message =
        testing::message_of<core::ContractError>([&] { sample(prompts, options); });
    return message.substr(0, message.find(" ["));  // the place in the source follows
  };
  options.group_size = 0;
  EXPECT_EQ(error(), "num_samples is 0, expected >= 1");
  options.group_size = 1;
  options.max_new_tokens = 0;
  EXPECT_EQ(error(), "max_new_tokens is 0, expected >= 1");
}

}  // namespace
}  // namespace sgrpo::rollout
