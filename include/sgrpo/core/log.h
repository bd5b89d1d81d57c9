// The log hook: any room may say something; `cli` decides where it goes.
#pragma once

#include <functional>
#include <string>

#include "sgrpo/core/error.h"

namespace sgrpo::core {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogSink = std::function<void(LogLevel, const std::string&)>;

/// Installs the sink (thread-safe); without one, messages go to stderr as plain lines.
void set_log_sink(LogSink sink);

/// Sends one message to the sink.
void log(LogLevel level, const std::string& message);

template <class... Args>
void info(const Args&... args) {
  log(LogLevel::kInfo, str(args...));
}
template <class... Args>
void warn(const Args&... args) {
  log(LogLevel::kWarning, str(args...));
}

}  // namespace sgrpo::core
