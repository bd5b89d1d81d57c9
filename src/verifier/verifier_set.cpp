// The verifiers of a run: look-up by name, parallel judging, weighted combination.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "sgrpo/core/check.h"
#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/params.h"
#include "verifier/worker_pool.h"

namespace sgrpo::verifier {
namespace {

constexpr size_t kSamplesPerTask = 16;
constexpr unsigned kMaxThreads = 16;

/// Threads beside the caller's: one a core, and one for each process that is waited for.
size_t num_threads(const VerifierOptions& options) {
  const int64_t cores = std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads);
  return static_cast<size_t>(std::max(cores, options.workers) - 1);
}

/// How many samples one task takes: a batched verifier's are shared out among its processes.
size_t samples_per_task(const Verifier& verifier, size_t samples, int64_t workers) {
  if (!verifier.is_batched()) return kSamplesPerTask;
  const auto shares = static_cast<size_t>(workers);
  return (samples + shares - 1) / shares;
}

/// A verifier under the name that rows, `rewards` and metrics use.
struct Named {
  std::string name;
  std::unique_ptr<Verifier> verifier;
};

struct Component {
  const Named* named;
  double weight;   // of all components: 1
  double written;  // as the configuration has it
  bool on_ground_truth = true;
};

std::unique_ptr<Verifier> build(const std::string& name,
                                const core::Json& params,
                                const std::string& name_path,
                                const std::string& params_path) {
  if (!VerifierRegistry::contains(name)) {
    const auto known = VerifierRegistry::names();
    throw core::UserError(core::str(name_path,
                                    ": unknown verifier '",
                                    core::printable(name),
                                    "'",
                                    core::did_you_mean(name, known),
                                    "; built in: ",
                                    core::join(known, ", ")));
  }
  return VerifierRegistry::get("verifier", name)(params, params_path);
}

VerdictStatus combined_status(const std::vector<Verdict>& parts) {
  const auto any = [&](VerdictStatus status) {
    return std::any_of(
        parts.begin(), parts.end(), [&](const Verdict& part) { return part.status == status; });
  };
  for (const VerdictStatus status : {VerdictStatus::kTruncated,
                                     VerdictStatus::kTimeout,
                                     VerdictStatus::kError,
                                     VerdictStatus::kIncorrect,
                                     VerdictStatus::kUnparsed}) {
    if (any(status)) return status;
  }
  return VerdictStatus::kCorrect;
}

/// Of a completion that was cut and is not judged.
VerdictStatus truncated_status(Truncated rule) {
  return rule == Truncated::kMask ? VerdictStatus::kTruncated : VerdictStatus::kIncorrect;
}

/// The answer, the items and the comment of the first verdict that gives one.
void take_findings(const std::vector<Verdict>& parts, Verdict& mutable_result) {
  for (const Verdict& part : parts) {
    if (mutable_result.answer.empty()) {
      mutable_result.answer = part.answer;
      mutable_result.answer_span = part.answer_span;
    }
    if (mutable_result.items.empty()) mutable_result.items = part.items;
    if (mutable_result.comment.empty()) mutable_result.comment = part.comment;
  }
}

/// `is_whole`: these are all components of the combination.
Verdict combine(const std::vector<Component>& components,
                const std::vector<Verdict>& parts,
                bool is_whole) {
  Verdict result;
  take_findings(parts, result);
  result.status = combined_status(parts);
  if (!result.is_valid()) return result;
  for (size_t i = 0; i < parts.size(); ++i) {
    result.reward += components[i].weight * parts[i].reward;
    result.breakdown[components[i].named->name] = parts[i].reward;
    result.weights[components[i].named->name] = components[i].written;
  }
  // Weights like 0.1 do not sum to 1 in binary; a full score must be exactly 1.
  const bool is_full = is_whole && std::all_of(parts.begin(), parts.end(), [](const Verdict& part) {
                         return part.reward == 1.0;
                       });
  result.reward = is_full ? 1.0 : std::min(result.reward, 1.0);
  return result;
}

}  // namespace

struct VerifierSet::Impl {
  VerifierOptions options;
  std::map<std::string, Named> by_name;
  std::map<std::string, std::string> unusable;  // built-ins that need parameters -> why
  const Named* fallback = nullptr;
  std::vector<Component> combination;
  std::unique_ptr<WorkerPool> pool;

  void add_instances(const core::Json& instances);
  void add_default();
  void add_built_ins();
  void add_combination(const core::Json& rewards);

  const Named* find(const std::string& name) const {
    if (name.empty()) return fallback;
    const auto found = by_name.find(name);
    return found == by_name.end() ? nullptr : &found->second;
  }
  const Named& require(const std::string& name, const std::string& where) const;
  std::vector<Component> components_of(const Job& job) const {
    if (combination.empty()) return {{&require(job.verifier, "job"), 1.0, 1.0}};
    std::vector<Component> result = combination;
    if (job.is_ground_truth)
      std::erase_if(result, [](const Component& component) { return !component.on_ground_truth; });
    return result;
  }
};

void VerifierSet::Impl::add_instances(const core::Json& instances) {
  if (instances.is_null()) return;
  if (!instances.is_object()) refuse("verifiers", instances, "a map of name to {name, params}");
  for (const auto& [name, value] : instances.items()) {
    const std::string path = "verifiers." + name;
    if (name.empty()) throw core::UserError("verifiers: an instance has an empty name");
    const Params fields(value, path, {"name", "params"});
    const core::Json* params = fields.find("params");
    by_name[name] = {name,
                     build(fields.required_text("name"),
                           params == nullptr ? core::Json::object() : *params,
                           path + ".name",
                           path + ".params")};
  }
}

void VerifierSet::Impl::add_default() {
  const bool has_params = !options.params.is_null() && !options.params.empty();
  if (const Named* instance = find(options.name); instance != nullptr) {
    if (has_params) {
      throw core::UserError(core::str("verifier.params is set, but verifier.name '",
                                      options.name,
                                      "' is the instance verifiers.",
                                      options.name,
                                      ": put the parameters there"));
    }
    fallback = instance;
    return;
  }
  auto verifier = build(options.name, options.params, "verifier.name", "verifier.params");
  fallback = &(by_name[options.name] = {options.name, std::move(verifier)});
}

void VerifierSet::Impl::add_built_ins() {
  for (const std::string& name : VerifierRegistry::names()) {
    if (by_name.count(name) != 0) continue;
    try {
      auto verifier = build(name, core::Json::object(), "", "params");
      by_name[name] = {name, std::move(verifier)};
    } catch (const core::UserError& error) {
      unusable[name] = error.what();
    }
  }
}

void VerifierSet::Impl::add_combination(const core::Json& rewards) {
  if (rewards.is_null()) return;
  if (!rewards.is_array()) refuse("rewards", rewards, "a list of {verifier, weight}");
  double total = 0.0;
  for (const core::Json& entry : rewards) {
    const std::string path = core::str("rewards[", combination.size(), "]");
    const Params fields(entry, path, {"verifier", "weight", "on_ground_truth"});
    const Named& named = require(fields.required_text("verifier"), path + ".verifier");
    const double weight = fields.number("weight", 1.0);
    if (weight <= 0.0) refuse(path + ".weight", *fields.find("weight"), "a number above 0");
    for (const Component& other : combination) {
      if (other.named != &named) continue;
      throw core::UserError(
          core::str(path, ".verifier: '", named.name, "' is listed twice; add up its weights"));
    }
    combination.push_back({&named, weight, weight, fields.flag("on_ground_truth", true)});
    total += weight;
  }
  const bool judges_ground_truth =
      combination.empty() || std::any_of(combination.begin(), combination.end(), [](const auto& c) {
        return c.on_ground_truth;
      });
  if (!judges_ground_truth) {
    throw core::UserError(
        "rewards: every entry has on_ground_truth: false, so that nothing judges a ground truth; "
        "expected true for at least one");
  }
  for (Component& component : combination) component.weight /= total;
}

const Named& VerifierSet::Impl::require(const std::string& name, const std::string& where) const {
  if (const Named* named = find(name); named != nullptr) return *named;
  if (const auto found = unusable.find(name); found != unusable.end()) {
    throw core::UserError(core::str(where,
                                    ": verifier '",
                                    name,
                                    "' needs parameters (",
                                    found->second,
                                    "): define an instance under `verifiers` and name that"));
  }
  std::vector<std::string> known;
  for (const auto& [key, named] : by_name) known.push_back(key);
  throw core::UserError(core::str(where,
                                  ": unknown verifier '",
                                  core::printable(name),
                                  "'",
                                  core::did_you_mean(name, known),
                                  "; known: ",
                                  core::join(known, ", ")));
}

VerifierSet::VerifierSet(const VerifierOptions& options,
                         const core::Json& instances,
                         const core::Json& rewards)
    : impl_(std::make_unique<Impl>()) {
  impl_->options = options;
  impl_->pool = std::make_unique<WorkerPool>(num_threads(options));
  impl_->add_instances(instances);
  impl_->add_default();
  impl_->add_built_ins();
  impl_->add_combination(rewards);
  for (auto& [name, named] : impl_->by_name) named.verifier->use(options);
}

VerifierSet::~VerifierSet() = default;
VerifierSet::VerifierSet(VerifierSet&& other) noexcept = default;

void VerifierSet::check_name(const std::string& verifier, const std::string& where) const {
  impl_->require(verifier, where);
}

void VerifierSet::check_row(const std::string& verifier, const core::Json& columns) const {
  for (const Component& component : impl_->components_of({.verifier = verifier, .sample = {}}))
    component.named->verifier->check_row(columns);
}

std::vector<Verdict> VerifierSet::judge(const std::vector<Job>& jobs) const {
  // parts[job][component]; every task fills its own places, so no two threads share one.
  std::vector<std::vector<Component>> components(jobs.size());
  std::vector<std::vector<Verdict>> parts(jobs.size());
  struct Place {
    size_t job, component;
  };
  std::map<const Named*, std::vector<Place>> places;
  for (size_t job = 0; job < jobs.size(); ++job) {
    components[job] = impl_->components_of(jobs[job]);
    parts[job].resize(components[job].size());
    if (jobs[job].sample.is_truncated && impl_->options.truncated != Truncated::kJudge) {
      for (Verdict& part : parts[job]) part.status = truncated_status(impl_->options.truncated);
      continue;
    }
    for (size_t i = 0; i < components[job].size(); ++i) {
      places[components[job][i].named].push_back({job, i});
    }
  }
  std::vector<std::function<void()>> tasks;
  const TimeLimits limits{.row_s = impl_->options.timeout_s,
                          .start_s = impl_->options.start_timeout_s};
  for (const auto& [named, all] : places) {
    const Verifier* verifier = named->verifier.get();
    const size_t step = samples_per_task(*verifier, all.size(), impl_->options.workers);
    for (size_t begin = 0; begin < all.size(); begin += step) {
      const std::vector<Place> some(
          all.begin() + static_cast<ptrdiff_t>(begin),
          all.begin() + static_cast<ptrdiff_t>(std::min(begin + step, all.size())));
      tasks.emplace_back([&jobs, &parts, verifier, limits, some] {
        std::vector<Sample> samples;
        for (const Place& place : some) samples.push_back(jobs[place.job].sample);
        const std::vector<Verdict> verdicts = verifier->verify_all(samples, limits);
        SGRPO_CHECK(verdicts.size() == some.size(),
                    "a verifier gave ",
                    verdicts.size(),
                    " verdicts for ",
                    some.size(),
                    " samples");
        for (size_t i = 0; i < some.size(); ++i)
          parts[some[i].job][some[i].component] = verdicts[i];
      });
    }
  }
  impl_->pool->run(tasks);
  std::vector<Verdict> result;
  for (size_t job = 0; job < jobs.size(); ++job) {
    const bool is_whole =
        impl_->combination.empty() || components[job].size() == impl_->combination.size();
    result.push_back(combine(components[job], parts[job], is_whole));
  }
  return result;
}

}  // namespace sgrpo::verifier
