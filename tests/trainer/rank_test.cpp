// Lists that are credited item by item, in whole runs.
#include "run_files.h"

namespace sgrpo::trainer {
namespace {

class RankRuns : public Runs {
 protected:
  static Overrides rank() {
    return {"verifier.name=ranked_list", "algorithm.estimator=rank_grpo", "algorithm.loss=rank"};
  }
};

// Each row's answer is one item of its list, and no random completion names it: the injected list
// alone earns something, on its first item, and its end token belongs to no item.
TEST_F(RankRuns, the_injected_list_is_credited_on_its_items_alone) {
  const auto folder = run("rank", both(rank(), {"verifier.truncated=judge"}));
  int64_t injected = 0;
  for (const Json& row : completions_of(folder, 1)) {
    if (row.at("origin") != "ground_truth") continue;
    ++injected;
    ASSERT_TRUE(row.contains("advantages")) << row;
    const auto advantages = row.at("advantages").get<std::vector<double>>();
    EXPECT_GT(advantages.front(), 0.0);
    EXPECT_EQ(advantages.back(), 0.0);
  }
  EXPECT_EQ(injected, 4);
}

TEST_F(RankRuns, a_row_without_items_is_a_bad_row) {
  auto data = rows(12, 100);
  data[3].erase("items");
  data[7]["items"] = {"bag", "bag"};
  scratch_.write("few.jsonl", testing::to_jsonl(data));
  const testing::LogCapture log;
  Trainer(config("few",
                 both(rank(),
                      {"data.train=" + (scratch_ / "few.jsonl").string(),
                       "data.max_bad_fraction=0.5",
                       "trainer.steps=3"})),
          Task::kPolicyGradient)
      .run();
  const std::string text = scratch_.shorten(log.text());
  EXPECT_NE(text.find("bad row: few.jsonl:4 (id 'row-103'): column 'items' is missing, expected a "
                      "list of different texts, or an object of texts and credits above 0, at most "
                      "1 (verifier ranked_list)"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("bad row: few.jsonl:8 (id 'row-107'): column 'items' is [\"bag\",\"bag\"], "
                      "expected a list of different texts"),
            std::string::npos)
      << text;
}

TEST_F(RankRuns, retention_rows_of_the_arm_have_no_items) {
  const Overrides retention = {
      core::str("retention={data: ", (scratch_ / "val.jsonl").string(), "}")};
  EXPECT_EQ(error_of(both(rank(), retention)),
            "algorithm.loss is rank, which compares list items, and retention rows of the arm have "
            "none: expected retention.loss: nll, retention.kind: kl, or another algorithm.loss");
  EXPECT_NO_THROW(config("nll", both(rank(), both(retention, {"retention.loss=nll"}))));
  EXPECT_NO_THROW(run("clip", both(both(rank(), retention), {"algorithm.loss=clipped"})));
}

}  // namespace
}  // namespace sgrpo::trainer
