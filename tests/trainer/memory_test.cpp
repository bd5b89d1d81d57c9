// Mean rewards by prompt: what is kept, what a reader sees, and that a run goes on with the same.
#include "sgrpo/types/memory.h"

#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

using Entries = std::vector<Memory::Entry>;

TEST(Memory, keeps_a_window_as_it_was_before_the_step_that_runs) {
  Memory memory(2);
  for (int64_t step = 1; step <= 5; ++step) memory.note("a", step, 0.1 * static_cast<double>(step));
  memory.note("a", 5, 0.75);  // the prompt came twice
  memory.note("b", 5, 1.0);
  EXPECT_EQ(memory.rewards("a", 4), (Entries{{3, 0.1 * 3}, {4, 0.1 * 4}}));
  EXPECT_EQ(memory.rewards("a", 5), (Entries{{5, 0.1 * 5}, {5, 0.75}}));
  EXPECT_EQ(memory.rewards("b", 4), Entries());
  EXPECT_EQ(memory.rewards("c", 5), Entries());
  memory.note("a", 6, 0.0);
  EXPECT_EQ(memory.rewards("a", 5), (Entries{{5, 0.1 * 5}, {5, 0.75}})) << "what step 7 may see";
  EXPECT_THROW(memory.note("a", 5, 0.0), core::ContractError);
  Memory none(0);
  none.note("a", 1, 1.0);
  EXPECT_EQ(none, Memory(0));
}

TEST(Memory, comes_back_bit_by_bit) {
  Memory memory(3), back(3);
  memory.note("a", 1, 1.0 / 3.0);
  memory.note("a", 2, 0.1 + 0.2);
  memory.note("\"\n", 2, -0.0);
  back.restore(core::parse_json(memory.to_json().dump(), "state"), "state");
  EXPECT_EQ(back, memory);
  EXPECT_EQ(back.to_json().dump(), memory.to_json().dump());
  EXPECT_EQ(testing::message_of([&] { back.restore(Json::parse("[[1]]"), "state.json"); }),
            "state.json: memory holds [1], expected [prompt id, entries]");
  EXPECT_EQ(
      testing::message_of([&] { back.restore(Json::parse(R"([["a", [[1]]]])"), "state.json"); }),
      "state.json: memory holds [1], expected [step, mean reward]");
}

using MemoryOfRun = Runs;

TEST_F(MemoryOfRun, holds_what_was_sampled_and_survives_a_stop) {
  const Overrides options =
      both(coin(), {"memory.reward_window=2", "trainer.save_every=1", "trainer.keep_last=0"});
  const auto memory_of = [](const std::filesystem::path& run, int64_t step) {
    const auto file = folder_of(run, step) / "state.json";
    return core::parse_json(core::read_file(file), file.string()).at("memory");
  };
  const auto whole = run("whole", both(options, {"trainer.steps=6"}));
  run("cut", both(options, {"trainer.steps=4"}));
  const auto cut = run("cut", both(options, {"trainer.steps=6"}));
  EXPECT_EQ(memory_of(cut, 6).dump(), memory_of(whole, 6).dump());
  std::map<std::string, std::vector<double>> rewards;
  for (const Json& row : completions_of(whole, 1)) {
    if (row.at("origin") == "sampled")
      rewards[row.at("prompt_id").get<std::string>()].push_back(row.at("reward").get<double>());
  }
  const Json first = memory_of(whole, 1);
  ASSERT_EQ(first.size(), 4U);
  for (const Json& item : first) {
    const auto& own = rewards.at(item[0].get<std::string>());
    ASSERT_EQ(own.size(), 4U);
    EXPECT_EQ(item[1][0][0], 1);
    EXPECT_EQ(item[1][0][1], (own[0] + own[1] + own[2] + own[3]) / 4.0);
  }
  EXPECT_EQ(memory_of(run("without", both(coin(), {})), 1), Json::array());
}

}  // namespace
}  // namespace sgrpo::trainer
