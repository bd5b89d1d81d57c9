// What a request asks of a policy beside numbers: stop texts, forced ids, where tokens end.
#include <gtest/gtest.h>

#include <cmath>

#include "sgrpo/core/error.h"
#include "testing/tiny_policy.h"

namespace sgrpo::policy {
namespace {

using testing::TinyPolicy;

constexpr int64_t kLength = 40;  // more than two chunks of sixteen tokens

/// A group of four that nothing ends but its length.
SamplingRequest request_for(const std::string& prompt) {
  SamplingRequest request{.prompt = TinyPolicy::instance().prompt(prompt), .num_samples = 4};
  request.key = {.seed = 5, .step = 2};
  request.options.max_new_tokens = kLength;
  return request;
}

std::vector<Completion> sampled(const SamplingRequest& request) {
  std::vector<Completion> completions;
  for (const auto& group : testing::sample_all(TinyPolicy::instance().policy(), {request}))
    for (const GroupMember& member : group.members) completions.push_back(member.completion);
  return completions;
}

/// The text of tokens [begin, end) of a completion.
std::string text_of(const Completion& completion, size_t begin, size_t end) {
  const auto at = [&](size_t t) { return t == 0 ? 0 : completion.token_ends[t - 1]; };
  return completion.text.substr(static_cast<size_t>(at(begin)),
                                static_cast<size_t>(at(end) - at(begin)));
}

/// The text of the first two tokens from `begin` on that is plain ASCII.
std::string plain_text(const Completion& completion, size_t begin) {
  for (size_t t = begin; t + 2 <= completion.token_ids.size(); ++t) {
    const std::string text = text_of(completion, t, t + 2);
    const bool is_plain =
        std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
    if (text.size() >= 2 && is_plain) return text;
  }
  return "";
}

/// Where a text ends that comes in another.
size_t first_end(const std::string& text, const std::string& part) {
  const size_t found = text.find(part);
  return found == std::string::npos ? found : found + part.size();
}

TEST(Sampling, token_ends_divide_the_text) {
  const auto& encoder = *TinyPolicy::instance().policy().encoder();
  for (const Completion& completion : sampled(request_for("what is this"))) {
    ASSERT_EQ(completion.token_ends.size(), completion.token_ids.size());
    EXPECT_EQ(completion.token_ends.back(), static_cast<int64_t>(completion.text.size()));
    EXPECT_TRUE(std::is_sorted(completion.token_ends.begin(), completion.token_ends.end()));
  }
  // An end token has no text; the others' ends are where their texts end.
  const std::vector<int64_t> ids = encoder.completion_ids("a shoe, or two: \xc3\xa9\xe2\x82\xac!");
  const auto ends = encoder.completion_ends(ids);
  const std::string text = encoder.completion_text(ids);
  ASSERT_EQ(ends.size(), ids.size());
  EXPECT_EQ(ends.back(), static_cast<int64_t>(text.size()));
  EXPECT_EQ(ends[ends.size() - 2], ends.back());
  for (size_t t = 0; t + 1 < ids.size(); ++t) {
    const std::string until = encoder.completion_text({ids.begin(), ids.begin() + 1 + t});
    if (text.compare(0, until.size(), until) != 0) continue;  // inside a character
    EXPECT_EQ(ends[t], static_cast<int64_t>(until.size())) << t;
  }
}

TEST(Sampling, bytes_that_are_no_text_still_divide_it) {
  const auto& tokenizer = *TinyPolicy::instance().policy().encoder()->spec().tokenizer;
  std::vector<int64_t> ids;
  for (int64_t id = 3; id < 260; ++id) ids.push_back(id);  // every byte alone, upper ones broken
  const auto ends = tokenizer.token_ends(ids);
  EXPECT_EQ(ends.back(), static_cast<int64_t>(tokenizer.decode(ids).size()));
  EXPECT_TRUE(std::is_sorted(ends.begin(), ends.end()));
  EXPECT_TRUE(tokenizer.token_ends({}).empty());
}

TEST(Sampling, a_row_ends_with_the_token_that_completes_a_stop_text) {
  SamplingRequest request = request_for("what is this");
  const auto whole = sampled(request);
  for (const size_t token : {0u, 15u, 16u, 28u}) {
    const std::string stop = plain_text(whole[0], token);  // may come in other members, too
    ASSERT_NE(stop, "");
    request.options.stop_texts = {"never written in any completion", stop};
    const auto stopped = sampled(request);
    size_t num_stopped = 0;
    for (size_t m = 0; m < whole.size(); ++m) {
      const size_t end = first_end(whole[m].text, stop);
      size_t kept = whole[m].token_ids.size();
      if (end != std::string::npos) {
        kept = 1;
        while (whole[m].token_ends[kept - 1] < static_cast<int64_t>(end)) ++kept;
        ++num_stopped;
      }
      EXPECT_EQ(stopped[m].token_ids.size(), kept) << "member " << m << ", stop '" << stop << "'";
      EXPECT_EQ(stopped[m].finish_reason,
                end == std::string::npos ? FinishReason::kLength : FinishReason::kStop);
      EXPECT_TRUE(std::equal(
          stopped[m].token_ids.begin(), stopped[m].token_ids.end(), whole[m].token_ids.begin()));
      EXPECT_EQ(stopped[m].sampler_logprobs.size(), kept);
    }
    EXPECT_GE(num_stopped, 1U);
  }
}

TEST(Sampling, the_entropy_of_a_stopped_row_is_that_of_what_stays) {
  SamplingRequest request = request_for("a");
  const auto whole = sampled(request);
  request.options.stop_texts = {plain_text(whole[0], 4)};
  const Completion stopped = sampled(request)[0];
  request.options.stop_texts.clear();
  request.options.max_new_tokens = static_cast<int64_t>(stopped.token_ids.size());
  EXPECT_LT(stopped.token_ids.size(), whole[0].token_ids.size());
  EXPECT_NEAR(stopped.entropy_sum, sampled(request)[0].entropy_sum, 1e-6);
}

TEST(Sampling, what_follows_forced_ids_is_drawn_as_behind_the_same_drawn_ones) {
  SamplingRequest request = request_for("left or right?");
  const auto whole = sampled(request);
  for (const size_t num_forced : {1u, 17u}) {
    request.forced_ids = {whole[2].token_ids.begin(),
                          whole[2].token_ids.begin() + static_cast<std::ptrdiff_t>(num_forced)};
    request.options.max_new_tokens = kLength - static_cast<int64_t>(num_forced);
    request.num_samples = 1;
    request.first_index = 2;
    const auto forced = sampled(request);
    ASSERT_EQ(forced.size(), 1U);
    EXPECT_EQ(forced[0].token_ids, whole[2].token_ids);
    EXPECT_EQ(forced[0].text, whole[2].text);
    EXPECT_EQ(forced[0].sample_index, 2);
    for (size_t t = 0; t < whole[2].token_ids.size(); ++t) {
      if (t < num_forced) {
        EXPECT_TRUE(std::isnan(forced[0].sampler_logprobs[t])) << "nobody drew it";
      } else {
        EXPECT_NEAR(forced[0].sampler_logprobs[t], whole[2].sampler_logprobs[t], 1e-5) << t;
      }
    }
  }
}

TEST(Sampling, a_stop_text_inside_the_forced_ids_has_been_passed) {
  SamplingRequest request = request_for("a");
  const auto whole = sampled(request);
  request.forced_ids = {whole[0].token_ids.begin(), whole[0].token_ids.begin() + 6};
  request.options.stop_texts = {text_of(whole[0], 1, 6)};
  request.options.max_new_tokens = 4;
  for (const Completion& completion : sampled(request))
    EXPECT_EQ(completion.token_ids.size(), 10U) << completion.text;
}

TEST(Sampling, requests_without_meaning_are_refused) {
  SamplingRequest request = request_for("a");
  request.forced_ids = {408};
  EXPECT_NE(testing::message_of<core::ContractError>([&] {
              sampled(request);
            }).find("forced id 408, expected 0..407"),
            std::string::npos);
  request.forced_ids.clear();
  request.options.stop_texts = {""};
  EXPECT_NE(testing::message_of<core::ContractError>([&] {
              sampled(request);
            }).find("a stop text is empty"),
            std::string::npos);
}

}  // namespace
}  // namespace sgrpo::policy
