#include "data/baselines.h"

#include <gtest/gtest.h>

#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"
#include "testing/scratch.h"

namespace sgrpo::data {
namespace {

const std::string kGood = R"({"split": "s", "id": "a", "reward": 0.25, "status": "incorrect"})"
                          "\n\n"
                          R"({"split": "s", "id": "b", "reward": 1, "status": "correct"})"
                          "\n"
                          R"({"split": "s", "id": "a", "reward": 0.75, "status": "unparsed"})"
                          "\n"
                          R"({"split": "s", "id": "a", "reward": 0, "status": "error"})";

std::string refusal_of(const std::string& text) {
  const testing::Scratch scratch;
  scratch.write("b.jsonl", text);
  return scratch.shorten(testing::message_of<core::UserError>(
      [&] { read_baselines((scratch / "b.jsonl").string()); }));
}

TEST(Baselines, are_means_over_what_was_judged) {
  const testing::Scratch scratch;
  scratch.write("b.jsonl", kGood);
  EXPECT_EQ(*read_baselines((scratch / "b.jsonl").string()),
            (std::map<std::string, double>{{"a", 0.5}, {"b", 1.0}}));
}

TEST(Baselines, a_line_that_eval_did_not_write_is_named) {
  EXPECT_EQ(refusal_of(R"({"id": "a"})"),
            "b.jsonl:1: expected a row of `eval --output` with id, reward and status "
            "(data.baseline)");
  EXPECT_EQ(refusal_of("\n[1]"),
            "b.jsonl:2: expected a row of `eval --output` with id, reward and status "
            "(data.baseline)");
  EXPECT_EQ(refusal_of(R"({"id": "a", "reward": 1, "status": "fine"})"),
            "b.jsonl:1: status is 'fine', no verdict");
  EXPECT_EQ(refusal_of(R"({"id": "a", "reward": "much", "status": "correct"})"),
            "b.jsonl:1: 'reward' is a string, expected a number");
  EXPECT_EQ(refusal_of(R"({"id": "a", "reward": 0, "status": "timeout"})"),
            "data.baseline: b.jsonl has no row that was judged");
  EXPECT_EQ(refusal_of(""), "data.baseline: b.jsonl has no row that was judged");
}

}  // namespace
}  // namespace sgrpo::data
