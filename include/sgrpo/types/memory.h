// What outlives a step, by prompt.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "sgrpo/core/json.h"

namespace sgrpo {

/// The mean rewards of a prompt's last groups, each with its step. A part of the run's state: after
/// a resume it is the same to the bit.
class Memory {
 public:
  struct Entry {
    int64_t step = 0;
    double reward = 0.0;  // mean over the group's judged samples
    bool operator==(const Entry&) const = default;
  };

  /// Keeps `window` entries a prompt; 0: none.
  explicit Memory(int64_t window = 0) : window_(window) {}

  /// Steps come in order.
  void note(const std::string& prompt_id, int64_t step, double reward);
  /// The prompt's last `window` entries of steps up to `last_step`, oldest first. Whoever prepares
  /// step s asks for s - 2: its rows are prepared while step s - 1 runs, and what that one adds,
  /// which is kept beside the window, must not be seen by chance.
  std::vector<Entry> rewards(const std::string& prompt_id, int64_t last_step) const;

  /// [[prompt_id, [[step, reward], ...]], ...]
  core::Json to_json() const;
  /// Throws core::UserError naming `where` for anything else.
  void restore(const core::Json& json, const std::string& where);

  bool operator==(const Memory& other) const { return entries_ == other.entries_; }

 private:
  int64_t window_;
  std::map<std::string, std::deque<Entry>> entries_;
};

}  // namespace sgrpo
