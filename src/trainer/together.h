// Work that every rank does for itself and that may fail on one of them.
#pragma once

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "sgrpo/distributed/communicator.h"

namespace sgrpo::trainer {

/// Returns on every rank if `own` is empty on every rank; else throws on every rank: its own error,
/// or the gravest of the others' with the rank's number in front, as the same kind. An order that
/// does not come from a signal outweighs one that does.
void agree_on(distributed::Communicator& communicator, const std::exception_ptr& own);

/// Tells the other ranks, which may wait for this one, what the exception being handled says.
/// Throws nothing.
void tell_others(distributed::Communicator& communicator) noexcept;

/// Runs `work`, which must call nothing that other ranks take part in. If it fails on one rank, it
/// fails on all: none waits for another that has left.
template <class Work>
auto together(distributed::Communicator& communicator, Work&& work) -> std::invoke_result_t<Work> {
  using Result = std::invoke_result_t<Work>;
  if (communicator.size() == 1) return work();
  std::exception_ptr failure;
  if constexpr (std::is_void_v<Result>) {
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
    agree_on(communicator, failure);
  } else {
    std::optional<Result> result;
    try {
      result.emplace(work());
    } catch (...) {
      failure = std::current_exception();
    }
    agree_on(communicator, failure);
    return *std::move(result);
  }
}

}  // namespace sgrpo::trainer
