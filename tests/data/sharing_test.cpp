// One stream read by several ranks: together they read what one would.
#include "sgrpo/data/sharing.h"

#include <map>
#include <mutex>
#include <set>

#include <ATen/ATen.h>

#include "data_files.h"
#include "sgrpo/data/stream.h"
#include "testing/rank_threads.h"

namespace sgrpo::data {
namespace {

TEST(Deal, dear_prompts_are_spread_and_counts_are_even) {
  EXPECT_EQ(deal({1, 9, 1, 8, 1, 1}, 2), (std::vector<int64_t>{1, 0, 0, 1, 1, 0}));
  EXPECT_EQ(deal({5, 5, 5}, 1), (std::vector<int64_t>{0, 0, 0}));
  EXPECT_EQ(deal({2, 1}, 4), (std::vector<int64_t>{0, 1}));
  const auto owners = deal(std::vector<double>(7, 1.0), 3);
  std::map<int64_t, int64_t> counts;
  for (const int64_t owner : owners) ++counts[owner];
  for (const auto& [rank, count] : counts) EXPECT_TRUE(count == 2 || count == 3) << rank;
}

class SharedStream : public DataFiles {
 protected:
  /// Rows of different lengths; those whose index is in `broken` name an image that is not there.
  std::string rows(int64_t count, const std::set<int64_t>& broken = {}) {
    std::string text;
    for (int64_t i = 0; i < count; ++i) {
      text += core::str(R"({"id": "a)", i, R"(", "prompt": "Say )", std::string(i % 5 + 1, 'x'));
      text += broken.count(i) ? "\", \"image\": \"gone.png\"}\n" : "\"}\n";
    }
    return write("rows.jsonl", text);
  }

  /// What one reader of `ranks` sees: "place:id" of each step and what it drew besides, and what a
  /// checkpoint would hold of it.
  static std::vector<std::string> read(const DataOptions& options,
                                       int64_t ranks,
                                       std::vector<core::Json>& states) {
    testing::Exchange exchange(ranks);
    std::mutex mutex;
    std::map<std::pair<int64_t, int64_t>, std::string> seen;  // (draw, place) -> id
    testing::on_ranks(ranks, [&](int64_t rank) {
      EncoderSpec spec = golden_spec();
      spec.max_prompt_tokens = options.max_prompt_tokens;
      PromptStream stream(
          options,
          std::make_shared<const PromptEncoder>(spec),
          7,
          5,
          {.rank = rank, .size = ranks, .exchange = [&, rank](const std::string& own) {
             return exchange.gather(rank, own);
           }});
      int64_t draw = 0;
      const auto note = [&](const PromptBatch& batch) {
        const std::lock_guard lock(mutex);
        for (size_t i = 0; i < batch.prompts.size(); ++i)
          seen[{draw, batch.places[i]}] =
              core::str(batch.prompt_index[i], ":", batch.prompts[i]->record->id);
        ++draw;
      };
      for (int64_t step = 1; step <= 6; ++step) {
        note(stream.batch(step));
        // Every other step draws two more, for the last and the first rank.
        if (step % 2 == 0) note(stream.more(step, {ranks - 1, 0}));
      }
      const std::lock_guard lock(mutex);
      states.push_back({{"rejected", stream.rejected_rows()},
                        {"position", stream.position(7)},
                        {"used", stream.num_used()},
                        {"hashes", stream.pixel_hashes()}});
    });
    std::vector<std::string> all;
    for (const auto& [where, id] : seen) all.push_back(core::str(where.first, "/", id));
    return all;
  }
};

TEST_F(SharedStream, ranks_read_together_what_one_reads) {
  DataOptions options;
  options.train = rows(23, {2, 3, 11, 17});
  options.shuffle = true;
  options.max_bad_fraction = 0.5;
  std::vector<core::Json> alone, together;
  const auto expected = read(options, 1, alone);
  EXPECT_EQ(expected.size(), 6U * 5 + 3 * 2);
  for (const int64_t ranks : {2, 3, 7}) {
    together.clear();
    EXPECT_EQ(read(options, ranks, together), expected) << ranks;
    for (const core::Json& state : together) EXPECT_EQ(state, alone.front()) << ranks;
  }
}

TEST_F(SharedStream, what_ends_the_stream_ends_it_on_every_rank) {
  DataOptions options;
  options.train = rows(10, {0, 1, 2, 3, 4, 5, 6, 7});
  options.max_bad_fraction = 0.1;
  testing::Exchange exchange(2);
  std::vector<std::string> errors(2);
  testing::on_ranks(2, [&](int64_t rank) {
    PromptStream stream(options,
                        std::make_shared<const PromptEncoder>(golden_spec()),
                        7,
                        4,
                        {.rank = rank, .size = 2, .exchange = [&, rank](const std::string& own) {
                           return exchange.gather(rank, own);
                         }});
    try {
      stream.batch(1);
    } catch (const core::UserError& error) {
      errors[static_cast<size_t>(rank)] = error.what();
    }
  });
  EXPECT_FALSE(errors[0].empty());
  EXPECT_EQ(errors[0], errors[1]);
}

}  // namespace
}  // namespace sgrpo::data
