#include "trainer/together.h"

#include <c10/util/Exception.h>

#include <new>
#include <string>

#include "sgrpo/core/error.h"
#include "sgrpo/core/json.h"
#include "sgrpo/types/non_finite.h"

namespace sgrpo::trainer {
namespace {

/// In order of gravity.
enum class Kind { kNone, kInterrupted, kNonFinite, kUser, kNoCheckpoint, kRun };

struct Failure {
  Kind kind = Kind::kNone;
  std::string text;
};

Failure failure_of(const std::exception_ptr& error) {
  if (!error) return {};
  try {
    std::rethrow_exception(error);
  } catch (const core::Interrupted& stop) {
    return {Kind::kInterrupted, stop.what()};
  } catch (const NonFiniteError& number) {
    return {Kind::kNonFinite, number.what()};
  } catch (const core::UserError& user) {
    return {Kind::kUser, user.what()};
  } catch (const core::NoCheckpointError& none) {
    return {Kind::kNoCheckpoint, none.what()};
  } catch (const c10::Error& torch) {
    return {Kind::kRun, torch.what_without_backtrace()};
  } catch (const std::exception& any) {
    return {Kind::kRun, any.what()};
  } catch (...) {
    return {Kind::kRun, "an unknown error"};
  }
}

[[noreturn]] void throw_as(Kind kind, const std::string& text) {
  switch (kind) {
    case Kind::kInterrupted: throw core::Interrupted(text);
    case Kind::kNonFinite: throw NonFiniteError(text);
    case Kind::kUser: throw core::UserError(text);
    case Kind::kNoCheckpoint: throw core::NoCheckpointError(text);
    default: throw core::RunError(text);
  }
}

}  // namespace

void tell_others(distributed::Communicator& communicator) noexcept {
  try {
    communicator.abort(failure_of(std::current_exception()).text);
  } catch (...) {  // nothing more can be done for them
    return;
  }
}

void agree_on(distributed::Communicator& communicator, const std::exception_ptr& own) {
  const Failure mine = failure_of(own);
  const core::Json sent = {{"kind", static_cast<int>(mine.kind)}, {"text", mine.text}};
  Failure gravest;
  size_t rank = 0;
  const auto all = communicator.all_gather_bytes(mine.kind == Kind::kNone ? std::string()
                                                                          : core::dump_ascii(sent));
  for (size_t other = 0; other < all.size(); ++other) {
    if (all[other].empty()) continue;
    const core::Json theirs = core::parse_json(all[other], "another rank");
    const Kind kind = static_cast<Kind>(theirs.at("kind").get<int>());
    if (kind <= gravest.kind) continue;
    gravest = {kind, theirs.at("text").get<std::string>()};
    rank = other;
  }
  if (gravest.kind == Kind::kNone) return;
  if (gravest.kind == mine.kind) std::rethrow_exception(own);
  throw_as(gravest.kind,
           gravest.kind == Kind::kInterrupted ? gravest.text
                                              : core::str("rank ", rank, ": ", gravest.text));
}

}  // namespace sgrpo::trainer
