#include "sgrpo/core/log.h"

#include <cstdio>
#include <mutex>

namespace sgrpo::core {
namespace {

struct State {
  std::mutex mutex;
  LogSink sink;
};

State& state() {
  static State instance;
  return instance;
}

}  // namespace

void set_log_sink(LogSink sink) {
  const std::lock_guard lock(state().mutex);
  state().sink = std::move(sink);
}

void log(LogLevel level, const std::string& message) {
  const std::lock_guard lock(state().mutex);
  if (state().sink) {
    state().sink(level, message);
  } else if (level != LogLevel::kDebug) {
    std::fprintf(stderr, "%s\n", message.c_str());
  }
}

}  // namespace sgrpo::core
