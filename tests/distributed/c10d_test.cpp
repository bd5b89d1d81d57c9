// Ranks as threads over one store in memory, through the collectives that separate processes use.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <future>
#include <thread>

#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include "distributed/c10d_communicator.h"
#include "sgrpo/core/error.h"

namespace sgrpo::distributed {
namespace {

constexpr int64_t kRanks = 3;

/// Runs `rank` once for each rank, each on a thread with its own end.
void on_ranks(const std::function<void(Communicator&)>& rank) {
  const Store store = c10::make_intrusive<c10d::HashStore>();
  std::vector<std::future<void>> done;
  for (int64_t r = 0; r < kRanks; ++r) {
    done.push_back(std::async(std::launch::async, [&, r] {
      auto liveness = std::make_unique<Liveness>(
          store, r, kRanks, Liveness::Limits{.timeout_s = 60.0, .ends_process = false});
      const auto gloo = c10::make_intrusive<c10d::PrefixStore>("gloo", store);
      const auto communicator =
          make_c10d(make_gloo(gloo, r, kRanks, "127.0.0.1"), nullptr, std::move(liveness));
      rank(*communicator);
    }));
  }
  for (auto& one : done) one.get();
}

TEST(C10d, reductions_are_those_of_all_ranks) {
  on_ranks([](Communicator& communicator) {
    EXPECT_EQ(communicator.size(), kRanks);
    const auto rank = static_cast<double>(communicator.rank());
    EXPECT_EQ(communicator.reduce({rank, 1.0}), (std::vector<double>{3.0, 3.0}));
    EXPECT_EQ(communicator.reduce({rank}, Reduction::kMax).front(), 2.0);
    EXPECT_EQ(communicator.reduce({rank}, Reduction::kMin).front(), 0.0);
    at::Tensor values = at::full({1000}, rank, at::kFloat);
    communicator.all_reduce(values, Reduction::kSum)->wait();
    EXPECT_TRUE(values.eq(3.0).all().item<bool>());
  });
}

TEST(C10d, pieces_are_scattered_and_gathered_in_rank_order) {
  on_ranks([](Communicator& communicator) {
    const int64_t rank = communicator.rank();
    at::Tensor piece = at::empty({2}, at::kFloat);
    communicator.reduce_scatter(at::arange(6, at::kFloat), piece)->wait();
    EXPECT_EQ(piece[1].item<float>(), 3.0f * static_cast<float>(2 * rank + 1));
    at::Tensor all = at::empty({kRanks}, at::kLong);
    communicator.all_gather(at::full({1}, 10 * rank, at::kLong), all)->wait();
    EXPECT_TRUE(all.equal(at::tensor({0, 10, 20}, at::kLong)));
    at::Tensor word = at::full({1}, rank, at::kLong);
    communicator.broadcast(word, 1)->wait();
    EXPECT_EQ(word.item<int64_t>(), 1);
  });
}

TEST(C10d, bytes_of_any_length_travel) {
  on_ranks([](Communicator& communicator) {
    const std::string own(static_cast<size_t>(communicator.rank()) * 5, 'x');
    EXPECT_EQ(communicator.all_gather_bytes(own),
              (std::vector<std::string>{"", "xxxxx", "xxxxxxxxxx"}));
    EXPECT_EQ(communicator.all_gather_bytes(""), (std::vector<std::string>{"", "", ""}));
  });
}

TEST(C10d, what_nccl_would_refuse_is_refused) {
  on_ranks([](Communicator& communicator) {
    EXPECT_THROW(communicator.all_reduce(at::zeros({2}, at::kBool), Reduction::kMax),
                 core::ContractError);
    EXPECT_THROW(communicator.all_reduce(at::zeros({2, 3}).t(), Reduction::kSum),
                 core::ContractError);
  });
}

TEST(C10d, the_reason_of_the_rank_that_ends_reaches_the_others) {
  on_ranks([](Communicator& communicator) {
    communicator.barrier();
    if (communicator.rank() == 1) return communicator.abort("the disk is full");
    try {
      communicator.barrier();
      ADD_FAILURE() << "no error";
    } catch (const core::RunError& error) {
      EXPECT_STREQ(error.what(), "rank 1: the disk is full");
    }
    EXPECT_EQ(communicator.failure(), "rank 1: the disk is full");
    EXPECT_THROW(communicator.reduce({1.0}), core::RunError);
  });
}

/// A rank's sign of life as it would write it.
void put_beat(const Store& store, int64_t count, int64_t progress, const std::string& doing) {
  const std::string text = core::str(R"({"count": )",
                                     count,
                                     R"(, "progress": )",
                                     progress,
                                     R"(, "waits": false, "collective": 4, "leaving": false, )",
                                     R"("doing": ")",
                                     doing,
                                     R"("})");
  store->set("beat/1", std::vector<uint8_t>(text.begin(), text.end()));
}

TEST(Liveness, silence_is_noticed_and_the_phase_is_named) {
  const Store store = c10::make_intrusive<c10d::HashStore>();
  put_beat(store, 1, 1, "generate, step 3");
  const Liveness liveness(
      store, 0, 2, {.timeout_s = 60.0, .silence_s = 1.0, .ends_process = false});
  EXPECT_EQ(liveness.failure_soon("nothing"),
            "rank 1 is gone: no sign of life for 1 s (it was last in generate, step 3, "
            "collective 4)");
}

/// A store in whose process nothing runs any more, until it is let go.
class StoppedStore final : public c10d::PrefixStore {
 public:
  explicit StoppedStore(const distributed::Store& store) : c10d::PrefixStore("stopped", store) {}
  bool check(const std::vector<std::string>& keys) override {
    go.get_future().wait();
    return c10d::PrefixStore::check(keys);
  }
  std::promise<void> go;
};

TEST(Liveness, a_store_that_does_not_answer_is_rank_0s_end) {
  const Store memory = c10::make_intrusive<c10d::HashStore>();
  const auto store = c10::make_intrusive<StoppedStore>(memory);
  const Liveness liveness(
      store, 1, 2, {.timeout_s = 60.0, .silence_s = 1.0, .ends_process = false});
  EXPECT_EQ(liveness.failure_soon("nothing"),
            "rank 0 is gone: the store that it keeps does not answer");
  store->go.set_value();  // so that the threads end
}

TEST(Liveness, a_rank_without_progress_hangs_unless_its_phase_may_take_long) {
  const Store store = c10::make_intrusive<c10d::HashStore>();
  const Liveness liveness(store, 0, 2, {.timeout_s = 1.5, .silence_s = 3.0, .ends_process = false});
  int64_t count = 0;
  for (; count < 12; ++count) {  // 3 s, twice the limit
    put_beat(store, count, 7, "save, step 3");
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
  }
  EXPECT_EQ(liveness.failure(), "");
  for (; count < 400 && liveness.failure().empty(); ++count) {
    put_beat(store, count, 7, "generate, step 3");
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
  }
  EXPECT_EQ(liveness.failure(),
            "rank 1 hangs: no progress for 1.5 s in generate, step 3, collective 4 "
            "(distributed.timeout_s)");
}

}  // namespace
}  // namespace sgrpo::distributed
