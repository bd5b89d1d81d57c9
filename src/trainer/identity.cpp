#include "trainer/identity.h"

#include <algorithm>
#include <array>

#include "sgrpo/config/binder.h"
#include "sgrpo/core/text.h"

namespace sgrpo::trainer {
namespace {

using core::Json;

constexpr const char* kRows = "rows would come again or be left out";
constexpr const char* kReference = "the reference would become another model";
constexpr const char* kMoments = "the optimizer's moments would be wrong";

// What is not here is listed. model.lora and model.freeze are refused, whatever is allowed, where
// the saved tensors are put back: they do not fit.
constexpr std::array kRules = {
    ChangeRule{"task", ChangeClass::kRefused, "the steps so far did something else"},
    ChangeRule{"seed", ChangeClass::kRefused, kRows},
    ChangeRule{"output_dir", ChangeClass::kHarmless},
    ChangeRule{"model.path", ChangeClass::kRefused, kReference},
    ChangeRule{"model.tokenizer", ChangeClass::kRefused, "token ids would mean something else"},
    ChangeRule{"model.device", ChangeClass::kHarmless},
    ChangeRule{"model.share_prefix", ChangeClass::kHarmless},
    ChangeRule{"data.train", ChangeClass::kRefused, kRows},
    ChangeRule{"data.shuffle", ChangeClass::kRefused, kRows},
    ChangeRule{"data.image_dir", ChangeClass::kHarmless},
    ChangeRule{"data.image_root", ChangeClass::kHarmless},
    ChangeRule{"data.max_bad_fraction", ChangeClass::kHarmless},
    ChangeRule{"algorithm.kl_ref", ChangeClass::kRefused, kReference},
    ChangeRule{"retention.data", ChangeClass::kRefused, kRows},
    ChangeRule{"demonstrations.data", ChangeClass::kRefused, kRows},
    ChangeRule{"frozen", ChangeClass::kRefused, kReference},
    ChangeRule{"optim.betas", ChangeClass::kRefused, kMoments},
    ChangeRule{"trainer.steps", ChangeClass::kHarmless},
    ChangeRule{"trainer.micro_batch_tokens", ChangeClass::kHarmless},
    ChangeRule{"trainer.save_every", ChangeClass::kHarmless},
    ChangeRule{"trainer.save_every_minutes", ChangeClass::kHarmless},
    ChangeRule{"trainer.stop_before_end_s", ChangeClass::kHarmless},
    ChangeRule{"trainer.keep_last", ChangeClass::kHarmless},
    ChangeRule{"trainer.early_stopping_patience", ChangeClass::kHarmless},
    ChangeRule{"trainer.resume", ChangeClass::kHarmless},
    ChangeRule{"distributed", ChangeClass::kHarmless},
};

/// Whether `rule` is of `key` or of a section around it.
bool covers(std::string_view rule, std::string_view key) {
  return core::starts_with(key, rule) && (key.size() == rule.size() || key[rule.size()] == '.');
}

/// The value at a dotted path of the configuration as one nested object.
Json at_path(const Json& root, const std::string& path) {
  const Json* node = &root;
  for (const std::string& part : core::split(path, '.')) node = &node->at(part);
  return *node;
}

bool is_content(const Json& value) { return value.is_object() && value.contains("sha256"); }

std::string shown(const Json& value) {
  const Json& text = is_content(value) ? value.at("path") : value;
  return core::printable(text.is_string() ? text.get<std::string>() : core::dump_ascii(text), 200);
}

std::string text_of(const std::string& key, const Json& before, const Json& after) {
  const bool is_same_path = is_content(before) && shown(before) == shown(after);
  if (is_same_path) return core::str(key, ": the content of ", shown(after), " changed");
  return core::str(key, ": ", shown(before), " -> ", shown(after));
}

}  // namespace

bool is_same_setting(const Json& before, const Json& after) {
  if (is_content(before) && is_content(after)) return before.at("sha256") == after.at("sha256");
  return before == after;
}

ChangeRule change_rule(std::string_view key) {
  ChangeRule best{.key = key};
  size_t longest = 0;
  for (const ChangeRule& rule : kRules) {
    if (rule.key.size() < longest || !covers(rule.key, key)) continue;
    longest = rule.key.size();
    best = rule;
  }
  return best;
}

std::vector<std::string> ruled_keys() {
  std::vector<std::string> keys;
  for (const ChangeRule& rule : kRules) keys.emplace_back(rule.key);
  return keys;
}

Json make_identity(const RunConfig& config,
                   Task task,
                   const std::map<std::string, Content>& contents) {
  const Json nested = config::to_json(config);
  Json identity = {{"task", task == Task::kSft ? "sft" : "train"}};
  for (const config::FieldLine& line : config::list_fields<RunConfig>()) {
    if (line.path != "data.eval") identity[line.path] = at_path(nested, line.path);
  }
  // A longer run stretches the schedule.
  if (config.optim.schedule != optim::Schedule::kConstant && !config.optim.schedule_steps)
    identity["optim.schedule_steps"] = config.trainer.steps;
  for (const auto& [key, content] : contents)
    identity[key] = Json{{"path", content.path}, {"sha256", content.sha256}};
  return identity;
}

std::vector<Change> changes_between(const Json& before, const Json& after, const Json& defaults) {
  std::vector<Change> changes;
  const auto add = [&](const std::string& key, const Json& old, const Json& now) {
    if (is_same_setting(old, now) || change_rule(key).treatment == ChangeClass::kHarmless) return;
    changes.push_back({key, text_of(key, old, now)});
  };
  for (const auto& [key, value] : after.items()) {
    const Json& known = before.contains(key) ? before : defaults;
    add(key, known.contains(key) ? known.at(key) : Json(nullptr), value);
  }
  // Splits of data.eval come and go; another key that is gone means nothing any more.
  for (const auto& [key, value] : before.items()) {
    if (is_content(value) && !after.contains(key)) add(key, value, nullptr);
  }
  return changes;
}

std::vector<std::string> parse_allowed(const std::string& text, const Json& identity) {
  std::vector<std::string> keys, known;
  for (const auto& [key, value] : identity.items()) known.push_back(key);
  for (const std::string& part : core::split(text, ',')) {
    const std::string key(core::trim(part));
    if (key.empty()) continue;
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      const std::string nearest = core::nearest(key, known);
      throw core::UserError(
          core::str("--allow-change names '",
                    core::printable(key),
                    "', which is no key of a run",
                    nearest.empty() ? "" : core::str(" (did you mean '", nearest, "'?)")));
    }
    keys.push_back(key);
  }
  return keys;
}

void check_changes(const std::vector<Change>& changes,
                   const std::vector<std::string>& allowed,
                   const std::string& checkpoint) {
  std::vector<std::string> refused, keys;
  for (const Change& change : changes) {
    const ChangeRule rule = change_rule(change.key);
    if (rule.treatment != ChangeClass::kRefused) continue;
    if (std::find(allowed.begin(), allowed.end(), change.key) != allowed.end()) continue;
    refused.push_back(core::str(change.text, " (", rule.reason, ")"));
    keys.push_back(change.key);
  }
  if (refused.empty()) return;
  throw core::UserError(core::str("this run would go on from ",
                                  checkpoint,
                                  ", but since then ",
                                  core::join(refused, "; "),
                                  ": restore what was, choose another output_dir, or accept it "
                                  "with --allow-change ",
                                  core::join(keys, ",")));
}

}  // namespace sgrpo::trainer
