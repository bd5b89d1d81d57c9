// What fails on one rank fails on all, with the reason and as the same kind.
#include "trainer/together.h"

#include <gtest/gtest.h>

#include "sgrpo/core/error.h"
#include "sgrpo/types/non_finite.h"
#include "testing/thread_ranks.h"

namespace sgrpo::trainer {
namespace {

/// "kind: text" of what each of three ranks ends with, if rank r runs `works[r]`.
std::vector<std::string> ends_of(const std::vector<std::function<void()>>& works) {
  testing::Exchange exchange(3);
  std::vector<std::string> ends(3);
  testing::on_ranks(3, [&](int64_t rank) {
    testing::ThreadRank communicator(exchange, rank, 3);
    std::string& end = ends[static_cast<size_t>(rank)];
    try {
      together(communicator, works[static_cast<size_t>(rank)]);
      end = "done";
    } catch (const core::Interrupted& error) {
      end = core::str("interrupted: ", error.what());
    } catch (const NonFiniteError& error) {
      end = core::str("non-finite: ", error.what());
    } catch (const core::UserError& error) {
      end = core::str("user: ", error.what());
    } catch (const core::RunError& error) {
      end = core::str("run: ", error.what());
    } catch (const std::exception& error) {
      end = core::str("other: ", error.what());
    }
  });
  return ends;
}

const std::function<void()> kFine = [] {};

TEST(Together, nobody_fails) {
  EXPECT_EQ(ends_of({kFine, kFine, kFine}), (std::vector<std::string>{"done", "done", "done"}));
}

TEST(Together, the_error_of_one_rank_is_everybodys) {
  EXPECT_EQ(ends_of({kFine, [] { throw core::UserError("bad row"); }, kFine}),
            (std::vector<std::string>{
                "user: rank 1: bad row", "user: bad row", "user: rank 1: bad row"}));
  EXPECT_EQ(ends_of({kFine, kFine, [] { throw NonFiniteError("nan"); }}),
            (std::vector<std::string>{
                "non-finite: rank 2: nan", "non-finite: rank 2: nan", "non-finite: nan"}));
  EXPECT_EQ(ends_of({kFine, kFine, [] { throw std::bad_alloc(); }})[0],
            "run: rank 2: std::bad_alloc");
}

TEST(Together, a_stop_reaches_all_unless_something_graver_happened) {
  const auto stop = [] { throw core::Interrupted("stopped by a signal"); };
  EXPECT_EQ(ends_of({kFine, stop, stop}),
            (std::vector<std::string>{"interrupted: stopped by a signal",
                                      "interrupted: stopped by a signal",
                                      "interrupted: stopped by a signal"}));
  EXPECT_EQ(ends_of({stop, [] { throw core::RunError("disk full"); }, kFine}),
            (std::vector<std::string>{
                "run: rank 1: disk full", "run: disk full", "run: rank 1: disk full"}));
}

TEST(Together, results_come_back) {
  testing::Exchange exchange(2);
  testing::on_ranks(2, [&](int64_t rank) {
    testing::ThreadRank communicator(exchange, rank, 2);
    EXPECT_EQ(together(communicator, [&] { return 10 + rank; }), 10 + rank);
  });
}

}  // namespace
}  // namespace sgrpo::trainer
