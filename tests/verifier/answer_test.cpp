// What a verdict says about the answer: its form, its place, and that it needs no ground truth.
#include <gtest/gtest.h>

#include <fstream>

#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"

namespace sgrpo::verifier {
namespace {

struct AnswerCase {
  std::string verifier, params, completion, ground_truth, answer;
  std::string place;  // what stands in the answer's span; "" = no span
};

void PrintTo(const AnswerCase& one, std::ostream* out) {
  *out << one.verifier << " " << one.params << " '" << one.completion << "'";
}

std::unique_ptr<Verifier> verifier_of(const std::string& name, const core::Json& params) {
  return VerifierRegistry::get("verifier", name)(params, "verifier.params");
}

Verdict judge_with(const Verifier& verifier,
                   const std::string& completion,
                   const std::string& ground_truth) {
  const Sample sample{.completion = completion, .ground_truth = ground_truth};
  return verifier.verify_all({sample}, {.row_s = 10.0}).at(0);
}

std::string place_of(const Verdict& verdict, const std::string& completion) {
  if (!verdict.answer_span) return "";
  const auto [begin, end] = *verdict.answer_span;
  return completion.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
}

const char* const kSlots =
    R"({"slots": [["shoe", "bag"], ["dark", "bright"]], "filler": ["a", "on"]})";

const std::vector<AnswerCase> kAnswerCases = {
    {"exact", "{}", "  Ankle boot\n", "x", "Ankle boot", "Ankle boot"},
    {"exact", R"({"normalize": ["lower", "whitespace"]})", " A  B ", "x", "a b", "A  B"},
    {"exact", "{}", " \n", "x", "", ""},
    {"contains", "{}", "It is a  Boot.", "boot", "it is a boot.", "It is a  Boot."},
    {"choice", "{}", "The answer is (b).", "A", "B", "b"},
    {"choice", "{}", "C", "A", "C", "C"},
    {"choice", "{}", "A or B? (A) or (B)", "A", "", ""},
    {"choice",
     R"({"choices": ["left side", "right"]})",
     "on the Left Side",
     "right",
     "left side",
     "Left Side"},
    {"numeric", "{}", "It is -2.50 cm", "1", "-2.5", "-2.50"},
    {"numeric", "{}", "1,234.0", "1", "1234", "1,234.0"},
    {"numeric", "{}", "first 1/3 of it", "1", "1/3", "1/3"},
    {"numeric", "{}", "3/4 then", "1", "0.75", "3/4"},
    {"numeric", "{}", "about 1e-3", "1", "0.001", "1e-3"},
    {"numeric", "{}", "1e60", "1", "1e+60", "1e60"},
    {"numeric", "{}", "none", "1", "", ""},
    {"count", "{}", "I see 12 dogs", "1", "12", "12"},
    {"count", "{}", "There are twenty-one dogs", "1", "21", "twenty-one"},
    {"count", R"({"position": "first"})", "Three cats, two dogs", "1", "3", "Three"},
    {"count", "{}", "2.5", "1", "", ""},
    {"math", "{}", "so \\boxed{\\dfrac{2}{4}} it is", "1", "1/2", "\\dfrac{2}{4}"},
    {"math", "{}", "x = 0.25", "1", "1/4", "x = 0.25"},
    {"math", "{}", "we get \\text{about} 6 \\times 7 or 42.", "1", "42", "42"},
    {"math", "{}", "much text\n#### 1,000\n", "1", "1000", "1,000"},
    {"math", "{}", "50\\%", "1", "1/2", "50\\%"},
    {"math", "{}", "\\boxed{x + 1}", "y", "x+1", "x + 1"},
    {"math", "{}", "I do not know", "1", "", ""},
    {"keywords", kSlots, "a dark shoe", "bag dark", "shoe dark", "a dark shoe"},
    {"keywords", kSlots, "a dark tree", "bag dark", "", ""},
    {"regex", R"j({"pattern": "age: *(\\d+)", "group": 1})j", "his age:  42!", "1", "42", "42"},
    {"regex", R"({"pattern": "\\d+"})", "his age:  42!", "", "42", "42"},
    {"regex", R"j({"pattern": "(\\d)", "group": 1})j", "none", "1", "", ""},
    {"json_equal",
     "{}",
     "so {\"b\": 1.0, \"a\": [2, {\"d\": 0.5, \"c\": null}]}",
     "[1]",
     "{\"a\":[2,{\"c\":null,\"d\":0.5}],\"b\":1}",
     "{\"b\": 1.0, \"a\": [2, {\"d\": 0.5, \"c\": null}]}"},
    {"json_equal",
     R"({"keys": ["b"]})",
     "{\"a\": 1, \"b\": 2}",
     "{}",
     "{\"b\":2}",
     "{\"a\": 1, \"b\": 2}"},
    {"box_iou", "{}", "[0, 0, 10, 10]", "[0, 0, 10, 10]", "", ""},
    {"tagged",
     R"({"verifier": "numeric"})",
     "<think>7</think> <answer> it is 9.0</answer>",
     "1",
     "9",
     "9.0"},
    {"tagged", R"({"verifier": "numeric"})", "9", "1", "", ""},
};

class VerdictAnswer : public testing::TestWithParam<AnswerCase> {};

TEST_P(VerdictAnswer, has_the_form_that_is_compared_and_its_place) {
  const AnswerCase& one = GetParam();
  const auto verifier = verifier_of(one.verifier, core::parse_json(one.params, "params"));
  const Verdict verdict = judge_with(*verifier, one.completion, one.ground_truth);
  EXPECT_EQ(verdict.answer, one.answer);
  EXPECT_EQ(place_of(verdict, one.completion), one.place);
}

INSTANTIATE_TEST_SUITE_P(cases, VerdictAnswer, testing::ValuesIn(kAnswerCases));

/// Every completion of the tables of `verifier`, judged without ground truth first, then against
/// its own answer, as majority labels do.
int64_t count_accepted_by_their_own_answer(const std::string& name) {
  std::ifstream file(std::string(SGRPO_TESTS_DIR) + "/data/verifier/" + name + ".jsonl");
  int64_t count = 0;
  for (std::string line; std::getline(file, line);) {
    const core::Json row = core::parse_json(line, name);
    const core::Json* params = core::find(row, "params");
    const auto verifier = verifier_of(name, params == nullptr ? core::Json::object() : *params);
    const std::string completion = core::get_string(row, "completion", "row");
    const Verdict blind = judge_with(*verifier, completion, "");
    const Verdict seen =
        judge_with(*verifier, completion, core::get_string(row, "ground_truth", "row"));
    if (seen.status == VerdictStatus::kCorrect) {
      EXPECT_EQ(blind.answer, seen.answer) << line;
    }
    if (blind.answer.empty()) continue;
    EXPECT_EQ(judge_with(*verifier, completion, blind.answer).status, VerdictStatus::kCorrect)
        << line << " answer '" << blind.answer << "'";
    ++count;
  }
  return count;
}

TEST(Answers, are_read_without_a_ground_truth_and_serve_as_one) {
  for (const char* name : {"exact", "choice", "numeric", "count", "math", "keywords"}) {
    EXPECT_GE(count_accepted_by_their_own_answer(name), 15) << name;
  }
}

TEST(Answers, missing_ground_truth_stays_an_error) {
  const Verdict verdict = judge_with(*verifier_of("numeric", core::Json::object()), "it is 7", "");
  EXPECT_EQ(verdict.status, VerdictStatus::kError);
  EXPECT_EQ(verdict.answer, "7");
}

VerifierSet set_of(Truncated truncated, const char* rewards) {
  VerifierOptions options;
  options.truncated = truncated;
  return {options, core::Json::object(), core::parse_json(rewards, "rewards")};
}

VerifierSet::Job job_of(const std::string& completion,
                        const std::string& truth,
                        bool is_truncated) {
  return {"", {.completion = completion, .ground_truth = truth, .is_truncated = is_truncated}};
}

TEST(Answers, of_several_rewards_the_first_that_gives_one_counts) {
  const VerifierSet set =
      set_of(Truncated::kJudge, R"([{"verifier": "count"}, {"verifier": "exact"}])");
  const auto verdicts = set.judge({job_of("I see 3", "3", false), job_of("no number", "3", false)});
  EXPECT_EQ(verdicts[0].answer, "3");
  EXPECT_EQ(*verdicts[0].answer_span, (TextSpan{.begin = 6, .end = 7}));
  EXPECT_EQ(verdicts[1].answer, "no number");
}

TEST(Answers, masked_truncated_completions_are_neither_judged_nor_valid) {
  const VerifierSet mask = set_of(Truncated::kMask, "[]");
  const auto verdicts = mask.judge({job_of("boot", "boot", true), job_of("boot", "boot", false)});
  EXPECT_EQ(to_string(verdicts[0].status), "truncated");
  EXPECT_FALSE(verdicts[0].is_valid());
  EXPECT_EQ(verdicts[0].reward, 0.0);
  EXPECT_TRUE(verdicts[0].breakdown.empty());
  EXPECT_EQ(verdicts[0].answer, "");
  EXPECT_EQ(verdicts[1].status, VerdictStatus::kCorrect);
}

}  // namespace
}  // namespace sgrpo::verifier
