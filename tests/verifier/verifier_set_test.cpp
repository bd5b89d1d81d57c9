#include "sgrpo/verifier/verifier.h"

#include <gtest/gtest.h>

#include <thread>

#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/names.h"

namespace sgrpo::verifier {
namespace {

core::Json json(const char* text) { return core::parse_json(text, "test"); }

/// Verifiers that only this test registers: they misbehave on purpose.
class Throwing : public Verifier {
 public:
  Throwing(const core::Json&, const std::string&) {}
  Verdict verify(const Sample& sample) const override {
    if (sample.completion == "throw") throw std::runtime_error("no luck");
    return {0.25, VerdictStatus::kIncorrect, {}};
  }
};

class Burning : public Verifier {
 public:
  Burning(const core::Json&, const std::string&) {}
  Verdict verify(const Sample& sample) const override {
    volatile double sink = 0;
    if (sample.completion == "burn") {
      for (int i = 0; i < 100'000'000; ++i) sink = sink + 1.0;
    }
    return {1.0, VerdictStatus::kCorrect, {}};
  }
};

SGRPO_REGISTER_VERIFIER("test_throwing", Throwing);
SGRPO_REGISTER_VERIFIER("test_burning", Burning);

VerifierSet make(const char* options = "{}",
                 const char* instances = "{}",
                 const char* rewards = "[]") {
  VerifierOptions result;
  const core::Json fields = json(options);
  result.name = core::get_string_or(fields, "name", result.name, "test");
  if (fields.contains("params")) result.params = fields["params"];
  result.timeout_s = core::get_double_or(fields, "timeout_s", result.timeout_s, "test");
  if (const core::Json* truncated = core::find(fields, "truncated"))
    result.truncated = core::from_name<Truncated>(truncated->get<std::string>()).value();
  return VerifierSet(result, json(instances), json(rewards));
}

VerifierSet::Job job(const std::string& completion,
                     const std::string& ground_truth,
                     const std::string& verifier = "") {
  return {verifier, {completion, ground_truth, nullptr, false}};
}

std::string message(const std::function<void()>& action) {
  try {
    action();
  } catch (const core::UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST(VerifierSet, judge_keeps_the_order_over_many_jobs) {
  const VerifierSet set = make();
  std::vector<VerifierSet::Job> jobs;
  for (int i = 0; i < 1000; ++i) jobs.push_back(job(std::to_string(i % 7), "3"));
  const auto verdicts = set.judge(jobs);
  ASSERT_EQ(verdicts.size(), jobs.size());
  for (size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_EQ(verdicts[i].reward, i % 7 == 3 ? 1.0 : 0.0) << i;
    EXPECT_EQ(verdicts[i].breakdown.at("exact"), verdicts[i].reward) << i;
  }
}

TEST(VerifierSet, judge_from_several_threads_gives_each_its_own_verdicts) {
  const VerifierSet set = make();
  std::vector<std::thread> threads;
  std::vector<int> right(4);
  for (size_t t = 0; t < right.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 50; ++round) {
        const auto verdicts = set.judge(std::vector(40, job(std::to_string(t), "2")));
        for (const Verdict& verdict : verdicts) right[t] += verdict.reward == 1.0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, (std::vector<int>{0, 0, 2000, 0}));
}

TEST(VerifierSet, judge_of_nothing_gives_nothing) { EXPECT_TRUE(make().judge({}).empty()); }

TEST(VerifierSet, row_names_an_instance_or_a_built_in) {
  const VerifierSet set =
      make("{}", R"({"loose": {"name": "exact", "params": {"normalize": ["strip", "lower"]}}})");
  const auto verdicts =
      set.judge({job("BOOT", "boot"), job("BOOT", "boot", "loose"), job("boot", "boot", "exact")});
  EXPECT_EQ(verdicts[0].reward, 0.0);
  EXPECT_EQ(verdicts[1].reward, 1.0);
  EXPECT_EQ(verdicts[1].breakdown, (std::map<std::string, double>{{"loose", 1.0}}));
  EXPECT_EQ(verdicts[2].reward, 1.0);
}

TEST(VerifierSet, default_may_be_an_instance) {
  const VerifierSet set = make(R"({"name": "loose"})",
                               R"({"loose": {"name": "exact", "params": {"normalize": "lower"}}})");
  EXPECT_EQ(set.judge({job("BOOT", "boot")})[0].breakdown.at("loose"), 1.0);
}

TEST(VerifierSet, truncated_sample_is_incorrect_unless_judged) {
  VerifierSet::Job cut = job("boot", "boot");
  cut.sample.is_truncated = true;
  const Verdict plain = make().judge({cut})[0];
  EXPECT_EQ(plain.status, VerdictStatus::kIncorrect);
  EXPECT_EQ(plain.reward, 0.0);
  EXPECT_EQ(plain.breakdown.at("exact"), 0.0);
  EXPECT_EQ(make(R"({"truncated": "judge"})").judge({cut})[0].reward, 1.0);
}

TEST(VerifierSet, rewards_are_a_weighted_mean_with_a_breakdown) {
  const VerifierSet set =
      make("{}",
           R"({"loose": {"name": "exact", "params": {"normalize": ["strip", "lower"]}}})",
           R"([{"verifier": "loose", "weight": 3}, {"verifier": "exact", "weight": 1}])");
  const auto verdicts = set.judge({job("BOOT", "boot"), job("boot", "boot"), job("", "boot")});
  EXPECT_EQ(verdicts[0].reward, 0.75);
  EXPECT_EQ(verdicts[0].status, VerdictStatus::kIncorrect);
  EXPECT_EQ(verdicts[0].breakdown, (std::map<std::string, double>{{"exact", 0}, {"loose", 1}}));
  EXPECT_EQ(verdicts[1].reward, 1.0);
  EXPECT_EQ(verdicts[1].status, VerdictStatus::kCorrect);
  EXPECT_EQ(verdicts[2].status, VerdictStatus::kUnparsed);
}

TEST(VerifierSet, full_score_is_exactly_one_for_weights_that_do_not_sum_in_binary) {
  const VerifierSet set = make("{}",
                               R"({"a": {"name": "exact"}, "b": {"name": "exact"},
                                   "c": {"name": "exact"}})",
                               R"([{"verifier": "a", "weight": 0.1},
                                   {"verifier": "b", "weight": 0.2},
                                   {"verifier": "c", "weight": 0.4}])");
  EXPECT_EQ(set.judge({job("x", "x")})[0].reward, 1.0);
}

TEST(VerifierSet, a_ground_truth_is_judged_without_the_rewards_that_say_so) {
  const VerifierSet set = make("{}",
                               R"({"right": {"name": "exact"}, "form": {"name": "exact"}})",
                               R"([{"verifier": "right", "weight": 3},
                                   {"verifier": "form", "on_ground_truth": false}])");
  VerifierSet::Job truth = job("boot", "boot");
  EXPECT_EQ(set.judge({truth})[0].reward, 1.0);
  truth.is_ground_truth = true;
  const Verdict verdict = set.judge({truth})[0];
  EXPECT_EQ(verdict.reward, 0.75);  // the other weights stay
  EXPECT_EQ(verdict.status, VerdictStatus::kCorrect);
  EXPECT_EQ(verdict.breakdown, (std::map<std::string, double>{{"right", 1}}));
  EXPECT_EQ(verdict.weights, (std::map<std::string, double>{{"right", 3}}));
  EXPECT_EQ(
      message([] { make("{}", "{}", R"([{"verifier": "exact", "on_ground_truth": false}])"); }),
      "rewards: every entry has on_ground_truth: false, so that nothing judges a ground "
      "truth; expected true for at least one");
}

TEST(VerifierSet, throwing_verifier_masks_its_sample_only) {
  const VerifierSet set = make(R"({"name": "test_throwing"})");
  const auto verdicts = set.judge({job("fine", "x"), job("throw", "x"), job("fine", "x")});
  EXPECT_EQ(verdicts[0].reward, 0.25);
  EXPECT_EQ(verdicts[1].status, VerdictStatus::kError);
  EXPECT_TRUE(verdicts[1].breakdown.empty());
  EXPECT_EQ(verdicts[2].reward, 0.25);
}

TEST(VerifierSet, late_verdict_is_a_timeout_and_masks_a_combination) {
  const char* const options = R"({"name": "test_burning", "timeout_s": 0.01})";
  const auto verdicts = make(options).judge({job("burn", "x"), job("", "x")});
  EXPECT_EQ(verdicts[0].status, VerdictStatus::kTimeout);
  EXPECT_EQ(verdicts[0].reward, 0.0);
  EXPECT_EQ(verdicts[1].status, VerdictStatus::kCorrect);
  const VerifierSet both =
      make(options, "{}", R"([{"verifier": "exact"}, {"verifier": "test_burning"}])");
  EXPECT_EQ(both.judge({job("burn", "burn")})[0].status, VerdictStatus::kTimeout);
}

TEST(VerifierSet, stop_request_interrupts_judging) {
  const VerifierSet set = make();
  core::request_stop(true);
  EXPECT_THROW(set.judge({job("a", "a")}), core::Interrupted);
  core::request_stop(false);
  EXPECT_EQ(set.judge({job("a", "a")})[0].reward, 1.0);
}

TEST(VerifierSet, missing_ground_truth_is_an_error_not_a_zero) {
  EXPECT_EQ(make().judge({job("", "")})[0].status, VerdictStatus::kError);
}

TEST(VerifierSet, unknown_names_say_where_and_what_is_near) {
  const std::string error = message([] { make(R"({"name": "exat"})"); });
  EXPECT_EQ(
      error.rfind("verifier.name: unknown verifier 'exat' (did you mean 'exact'?); built in: ", 0),
      0U)
      << error;
  EXPECT_NE(message([] {
              make("{}", R"({"c": {"name": "keyword"}})");
            }).find("verifiers.c.name: unknown verifier 'keyword' (did you mean 'keywords'?)"),
            std::string::npos);
  EXPECT_NE(message([] {
              make().check_name("exakt", "train.jsonl:7");
            }).find("train.jsonl:7: unknown verifier 'exakt' (did you mean 'exact'?)"),
            std::string::npos);
  EXPECT_NE(message([] {
              make("{}", "{}", R"([{"verifier": "exat"}])");
            }).find("rewards[0].verifier: unknown verifier 'exat'"),
            std::string::npos);
}

TEST(VerifierSet, built_in_that_needs_parameters_is_refused_by_name) {
  const std::string error = message([] { make().check_name("keywords", "train.jsonl:7"); });
  EXPECT_EQ(error,
            "train.jsonl:7: verifier 'keywords' needs parameters (params.slots is missing: "
            "expected a list of word lists, one a slot): define an instance under `verifiers` and "
            "name that");
}

TEST(VerifierSet, wrong_configuration_names_the_key) {
  EXPECT_EQ(message([] { make("{}", R"({"c": {"nam": "exact"}})"); }),
            "verifiers.c.nam: unknown parameter (did you mean 'name'?); known: name, params");
  EXPECT_EQ(message([] { make("{}", R"({"c": {"params": {}}})"); }), "verifiers.c.name is missing");
  EXPECT_EQ(message([] { make("{}", "{}", R"([{"verifier": "exact", "weight": 0}])"); }),
            "rewards[0].weight is 0, expected a number above 0");
  EXPECT_EQ(message([] { make("{}", "{}", R"([{"verifier": "exact", "weight": -1}])"); }),
            "rewards[0].weight is -1, expected a number above 0");
  EXPECT_EQ(message([] { make("{}", "{}", R"([{"verifier": "exact"}, {"verifier": "exact"}])"); }),
            "rewards[1].verifier: 'exact' is listed twice; add up its weights");
  EXPECT_EQ(message([] { make("{}", "{}", R"({"verifier": "exact"})"); }),
            "rewards is {\"verifier\":\"exact\"}, expected a list of {verifier, weight}");
  EXPECT_EQ(message([] { make("{}", "[]"); }),
            "verifiers is [], expected a map of name to {name, params}");
}

}  // namespace
}  // namespace sgrpo::verifier
