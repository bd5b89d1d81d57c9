// What makes a run this run: kept in its checkpoints, compared when it goes on.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sgrpo/core/json.h"
#include "sgrpo/trainer/run_config.h"
#include "sgrpo/trainer/trainer.h"

namespace sgrpo::trainer {

/// What a changed key does to a run that goes on.
enum class ChangeClass {
  kHarmless,  // not worth a word
  kListed,    // said in the log
  kRefused,   // only with --allow-change
};

/// How a change of one key, or of all keys of one section, is treated.
struct ChangeRule {
  std::string_view key;
  ChangeClass treatment = ChangeClass::kListed;
  const char* reason = "";  // why it is refused
};

/// The rule of the longest entry of the one table that is `key` or a section around it. A key that
/// the table does not know is listed.
ChangeRule change_rule(std::string_view key);

/// The table's keys, for its test.
std::vector<std::string> ruled_keys();

/// What a configured path leads to: runs are compared by the content, messages show the path.
struct Content {
  std::string path, sha256;
};

/// A run's identity as state.json holds it: one flat object, key -> value or {path, sha256}.
/// `contents` replaces the values of its keys and adds keys of its own ("model.tokenizer").
core::Json make_identity(const RunConfig& config,
                         Task task,
                         const std::map<std::string, Content>& contents);

/// Whether two values of a key mean the same: a content by its hash, wherever it lies.
bool is_same_setting(const core::Json& before, const core::Json& after);

/// A key whose value or content differs.
struct Change {
  std::string key;
  std::string text;  // "optim.lr: 1e-06 -> 1e-05"
};

/// In the order of `after`, harmless ones left out. A key that `before` does not know (it was
/// written before the key existed) is compared with `defaults`, the identity of a default
/// configuration.
std::vector<Change> changes_between(const core::Json& before,
                                    const core::Json& after,
                                    const core::Json& defaults);

/// Splits "a,b" of --allow-change. Throws core::UserError naming the nearest key for one that is in
/// no identity.
std::vector<std::string> parse_allowed(const std::string& text, const core::Json& identity);

/// Throws core::UserError that lists the refused changes which are not allowed; `checkpoint` is
/// what the run goes on from.
void check_changes(const std::vector<Change>& changes,
                   const std::vector<std::string>& allowed,
                   const std::string& checkpoint);

}  // namespace sgrpo::trainer
