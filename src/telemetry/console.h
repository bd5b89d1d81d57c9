// The one owner of stderr: log lines and progress bars share it without tearing each other.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

namespace sgrpo::telemetry {

/// stderr with at most one redrawable line at its end. Thread-safe.
class Console {
 public:
  /// The process's console.
  static Console& instance();

  /// Whether stderr is a terminal now (tests redirect it).
  static bool is_terminal();
  /// Whether colours are wanted: a terminal, and NO_COLOR unset.
  static bool has_colour();
  /// Whether the locale's character set is UTF-8.
  static bool has_utf8();
  /// Columns of the terminal, else $COLUMNS, else 120.
  static size_t width();

  /// Progress that begins from now on shows nothing, or shows itself again.
  void mute_progress(bool is_muted) { is_progress_muted_ = is_muted; }
  bool is_progress_muted() const { return is_progress_muted_; }

  /// Writes `text` and a newline above the status line.
  void print(const std::string& text);
  /// Prints `text` if `owner` is the innermost; whether it did. One step: nobody becomes the
  /// innermost between the question and the line.
  bool print_if_innermost(const void* owner, const std::string& text);

  /// Makes `owner` the innermost owner of the status line.
  void push(const void* owner);
  /// Writes `last` as a permanent line and gives the status line back to the owner before.
  void pop(const void* owner, const std::string& last);
  /// Shows `text` as the status line on a terminal, if `owner` is the innermost.
  void show(const void* owner, const std::string& text);

 private:
  void print_locked(const std::string& text);

  std::atomic<bool> is_progress_muted_{false};
  std::mutex mutex_;
  std::vector<const void*> owners_;
  std::string status_;  // what stands on the last line, "" if nothing
};

}  // namespace sgrpo::telemetry
