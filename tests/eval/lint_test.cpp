// Whether the verifier accepts a row's own ground truth.
#include "sgrpo/eval/lint.h"

#include <gtest/gtest.h>

#include "testing/scratch.h"

namespace sgrpo::eval {
namespace {

std::vector<data::LintedRow> lint(const std::string& lines, const std::string& chosen) {
  const testing::Scratch scratch;
  auto rows = data::lint_file(scratch.write("rows.jsonl", lines), {});
  const verifier::VerifierSet verifiers({}, core::Json::object(), core::Json::array());
  lint_ground_truths(verifiers, chosen, rows);
  return rows;
}

TEST(LintGroundTruths, verifier_that_refuses_what_would_be_injected_is_a_problem) {
  const auto rows = lint(
      "{\"prompt\": \"x\", \"ground_truth\": \"a\"}\n"
      "{\"prompt\": \"x\", \"ground_truth\": \"a\", \"ground_truth_completion\": \"b\"}\n"
      "{\"prompt\": \"x\"}\n"
      "{broken\n",
      "");
  EXPECT_TRUE(rows.at(0).problems.empty());
  ASSERT_EQ(rows.at(1).problems.size(), 1u);
  EXPECT_EQ(rows[1].problems[0].check, "verifier");
  EXPECT_EQ(rows[1].problems[0].reason,
            "the verifier calls the row's own ground truth 'b' incorrect, expected correct");
  EXPECT_TRUE(rows.at(2).problems.empty());
  EXPECT_EQ(rows.at(3).problems.size(), 1u);
}

TEST(LintGroundTruths, unknown_verifier_is_a_problem_and_a_chosen_one_takes_its_place) {
  const std::string row =
      "{\"prompt\": \"x\", \"ground_truth\": \"about 7\", \"verifier\": \"exct\"}\n";
  const auto unknown = lint(row, "");
  ASSERT_EQ(unknown.at(0).problems.size(), 1u);
  EXPECT_NE(unknown[0].problems[0].reason.find("did you mean 'exact'?"), std::string::npos)
      << unknown[0].problems[0].reason;
  EXPECT_EQ(unknown[0].problems[0].reason.find("rows.jsonl"), std::string::npos);
  EXPECT_TRUE(lint(row, "exact").at(0).problems.empty());
}

}  // namespace
}  // namespace sgrpo::eval
