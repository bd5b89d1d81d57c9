// core's log hook on spdlog.
#include <spdlog/details/null_mutex.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <memory>
#include <string>
#include <string_view>

#include "sgrpo/core/error.h"
#include "sgrpo/core/log.h"
#include "sgrpo/telemetry/telemetry.h"
#include "telemetry/console.h"

namespace sgrpo::telemetry {
namespace {

/// Hands finished lines to the console, which keeps them apart from a progress bar.
class ConsoleSink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    Console::instance().print(std::string(line.data(), line.size()));
  }
  void flush_() override {}
};

/// The level in five columns, coloured on a terminal.
class LevelFlag : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message,
              const std::tm& /*time*/,
              spdlog::memory_buf_t& out) override {
    const bool colour = Console::has_colour();
    const Style style = style_of(message.level);
    if (colour) append(style.colour, out);
    append(style.name, out);
    if (colour) append("\x1b[0m", out);
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<LevelFlag>();
  }

 private:
  struct Style {
    std::string_view name, colour;
  };
  static Style style_of(spdlog::level::level_enum level) {
    switch (level) {
      case spdlog::level::debug: return {"debug", "\x1b[2m"};
      case spdlog::level::warn: return {"warn ", "\x1b[33m"};
      case spdlog::level::err: return {"error", "\x1b[31m"};
      default: return {"info ", "\x1b[32m"};
    }
  }
  static void append(std::string_view text, spdlog::memory_buf_t& out) {
    out.append(text.data(), text.data() + text.size());
  }
};

spdlog::level::level_enum to_spdlog(core::LogLevel level) {
  switch (level) {
    case core::LogLevel::kDebug: return spdlog::level::debug;
    case core::LogLevel::kInfo: return spdlog::level::info;
    case core::LogLevel::kWarning: return spdlog::level::warn;
    case core::LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

namespace {

void install(spdlog::level::level_enum lowest, const std::string& prefix) {
  auto formatter =
      std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::local, "");
  formatter->add_flag<LevelFlag>('*').set_pattern("%H:%M:%S %* " + prefix + "%v");
  auto logger = std::make_shared<spdlog::logger>("sgrpo", std::make_shared<ConsoleSink>());
  logger->set_formatter(std::move(formatter));
  logger->set_level(lowest);
  core::set_log_sink([logger](core::LogLevel level, const std::string& message) {
    logger->log(to_spdlog(level), spdlog::string_view_t(message.data(), message.size()));
  });
}

}  // namespace

void install_logging(bool quiet) {
  Console::instance().mute_progress(false);
  install(quiet ? spdlog::level::warn : spdlog::level::info, "");
}

void install_logging_of_rank(int64_t rank) {
  Console::instance().mute_progress(true);
  install(spdlog::level::warn, core::str("[rank ", rank, "] "));
}

}  // namespace sgrpo::telemetry
