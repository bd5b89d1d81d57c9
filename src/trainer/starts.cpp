#include "trainer/starts.h"

#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/log.h"
#include "sgrpo/trainer/crash_loop.h"

namespace sgrpo::trainer {
namespace {

constexpr int64_t kMostStarts = 3;  // in a row

int64_t starts_of(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return 0;
  try {
    return core::get_int(
        core::parse_json(core::read_file(file), file.string()), "starts", file.string(), 0);
  } catch (const core::UserError& damage) {
    core::warn(damage.what(), ": starts are counted anew");
    return 0;
  }
}

}  // namespace

Starts::Starts(const std::filesystem::path& run) : file_(run / "run" / "starts.json") {
  const int64_t before = starts_of(file_);
  if (before >= kMostStarts) {
    throw CrashLoopError(core::str(run.string(),
                                   " was started ",
                                   before,
                                   " times in a row without a checkpoint, a finished group or an "
                                   "orderly end: see in the log what ended them, mend it, remove ",
                                   file_.string(),
                                   " and start again"));
  }
  write(before + 1);
}

void Starts::forget() {
  if (!is_counted_) return;
  is_counted_ = false;
  write(0);
}

/// What cannot be written counts nothing: it must not keep a run from starting.
void Starts::write(int64_t count) const {
  try {
    std::filesystem::create_directories(file_.parent_path());
    core::write_file_atomic(file_, core::Json{{"starts", count}}.dump() + "\n");
  } catch (const core::RunError& error) {
    core::warn(error.what(), " (starts are not counted)");
  } catch (const std::filesystem::filesystem_error& error) {
    core::warn(error.what(), " (starts are not counted)");
  }
}

}  // namespace sgrpo::trainer
