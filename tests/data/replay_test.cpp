#include "sgrpo/data/replay.h"

#include "data_files.h"

namespace sgrpo::data {
namespace {

class Replay : public DataFiles {
 protected:
  std::vector<RecordedGroup> load(const std::string& name) {
    return load_replay(folder_ / name, {}, [](const std::string& id) {
      PromptRecord record;
      record.id = id;
      return id == "gone" ? nullptr : std::make_shared<const PromptRecord>(record);
    });
  }
  std::string error(const std::string& row) {
    write("r.jsonl", row);
    return shorten(error_of([&] { load("r.jsonl"); }));
  }
  static std::string own(int64_t step,
                         const std::string& id,
                         int64_t index,
                         const std::string& more = "") {
    return core::str(R"({"step": )",
                     step,
                     R"(, "prompt_id": ")",
                     id,
                     R"(", "index": )",
                     index,
                     R"(, "completion": "t)",
                     index,
                     R"(", "completion_ids": [)",
                     index,
                     R"(, 7], "reward": 0.5, "status": "incorrect")",
                     more.empty() ? R"(, "origin": "sampled", "replaced": false)" : more,
                     "}\n");
  }
};

TEST_F(Replay, load_texts_and_rewards_of_a_file) {
  write("r.jsonl",
        R"({"id": "x", "prompt": "p", "completions": ["a", "b"], "rewards": [-1.5, 1]})"
        "\n"
        R"({"prompt": "q", "completions": [[1, 2], [3]]})");
  const auto groups = load("r.jsonl");
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].record->id, "x");
  EXPECT_EQ(groups[0].completions[1].text, "b");
  EXPECT_FALSE(groups[0].completions[1].token_ids);
  EXPECT_EQ(groups[0].completions[0].reward, -1.5);
  EXPECT_EQ(groups[0].step, 0);
  EXPECT_EQ(groups[1].completions[0].token_ids, (std::vector<int64_t>{1, 2}));
  EXPECT_FALSE(groups[1].completions[0].reward);
  EXPECT_EQ(groups[1].source.line, 2);
}

TEST_F(Replay, load_own_folder_restores_the_sampled_groups) {
  const std::string injected = R"(, "origin": "ground_truth", "replaced": false)";
  const std::string victim = R"(, "origin": "sampled", "replaced": true)";
  write("c/step-000002.jsonl", own(2, "b", 0) + own(2, "b", 1));
  write("c/step-000001.jsonl",
        own(1, "a", 0) + own(1, "a", 1, injected) + own(1, "a", 2) + own(1, "a", 1, victim) +
            own(1, "b", 0) + own(1, "b", 1) + own(1, "b", 0) + own(1, "b", 1));
  const auto groups = load("c");
  ASSERT_EQ(groups.size(), 4u);
  EXPECT_EQ(groups[0].record->id, "a");
  EXPECT_EQ(groups[0].completions.size(), 3u);
  EXPECT_EQ(groups[0].completions[1].token_ids, (std::vector<int64_t>{1, 7}));
  EXPECT_EQ(groups[0].completions[1].status, VerdictStatus::kIncorrect);
  EXPECT_EQ(groups[1].record->id, "b");
  EXPECT_EQ(groups[2].record->id, "b");  // drawn twice in one step: two groups
  EXPECT_EQ(groups[3].step, 2);
}

TEST_F(Replay, own_completion_without_ids_is_refused) {
  write("c/step-000001.jsonl",
        own(1, "a", 0) +
            R"({"step": 1, "prompt_id": "a", "index": 1, "completion_ids": [], "reward": 0,)"
            R"( "status": "incorrect", "origin": "sampled"})");
  EXPECT_EQ(shorten(error_of([&] { load("c"); })),
            "c/step-000001.jsonl:2 (prompt 'a'): 'completion_ids' is an empty list, expected at "
            "least one token id");
}

TEST_F(Replay, one_step_file_is_read_alone) {
  write("c/step-000012.jsonl", own(12, "a", 0));
  EXPECT_EQ(load("c/step-000012.jsonl").at(0).step, 12);
}

TEST_F(Replay, wrong_recordings_are_named) {
  EXPECT_EQ(error(R"({"id": "x", "prompt": "p"})"),
            "r.jsonl:1 (id 'x'): 'completions' must be a list of texts or of token id lists");
  EXPECT_EQ(error(R"({"id": "x", "prompt": "p", "completions": ["a"], "rewards": [1, 2]})"),
            "r.jsonl:1 (id 'x'): 'rewards' must be a list of 1 numbers, one per completion");
  EXPECT_EQ(error(R"({"id": "x", "prompt": "p", "completions": ["a"], "rewards": ["1"]})"),
            "r.jsonl:1 (id 'x'): a reward is a string, expected a finite number");
  EXPECT_EQ(error(R"({"id": "x", "prompt": "p", "completions": [[]]})"),
            "r.jsonl:1 (id 'x'): an entry of 'completions' is an empty list, expected a text or a "
            "list of token ids");
  EXPECT_EQ(error(R"({"id": "x", "prompt": 3, "completions": ["a"]})"),
            "r.jsonl:1 (id 'x'): 'prompt' is a number, expected a string or a list of messages");
  EXPECT_EQ(error(own(1, "gone", 0)),
            "r.jsonl:1 (prompt 'gone'): no row of data.train has this id; replay with the run's "
            "own data");
  EXPECT_EQ(error(own(1, "a", 0) + own(1, "a", 2)),
            "r.jsonl:1 (prompt 'a'): the completion with index 1 is missing");
  EXPECT_EQ(error(""), "r.jsonl: has no rows to replay");
  std::filesystem::create_directories(folder_ / "empty");
  EXPECT_EQ(shorten(error_of([&] { load("empty"); })),
            "empty: has no step-*.jsonl, expected a run's completions folder");
}

}  // namespace
}  // namespace sgrpo::data
