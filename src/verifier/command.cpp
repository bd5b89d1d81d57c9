// `command`: an external program judges. One process serves many rows: one JSON line in
// {"id", "completion", "ground_truth", "row", "is_truncated"}, one JSON line out: {"reward"} in
// [0, 1] and/or "correct", "status", with optional "id" (the row's), "answer", "answer_span" and
// "items" (bytes of the completion), "comment".
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/command_worker.h"
#include "verifier/params.h"
#include "verifier/sandbox.h"

namespace sgrpo::verifier {
namespace {

constexpr int64_t kDefaultRestarts = 8;
constexpr double kDefaultMemoryGib = 8.0;

/// The file that a shell would run for `name`.
std::filesystem::path require_program(const std::string& name, const std::string& where) {
  if (const auto program = find_program(name)) return *program;
  const bool is_path = name.find('/') != std::string::npos;
  throw core::UserError(
      core::str(where,
                " is '",
                core::printable(name),
                is_path ? "', expected an executable file; there is none"
                        : "', expected a program of PATH; there is none of that name"));
}

class Command : public Verifier {
 public:
  Command(const core::Json& json, const std::string& where)
      : Command(Params(json, where, {"argv", "max_restarts", "env", "memory_gib", "network"})) {}

  Verdict verify(const Sample& sample) const override {
    return verify_all({sample}, TimeLimits()).front();
  }

  /// Each call that comes while others run has a process of its own.
  std::vector<Verdict> verify_all(const std::vector<Sample>& samples,
                                  const TimeLimits& limits) const override {
    std::unique_ptr<CommandWorker> worker = take_worker();
    std::vector<Verdict> verdicts;
    try {
      verdicts = worker->judge_all(samples, limits);
    } catch (...) {
      give_back(std::move(worker));
      throw;
    }
    give_back(std::move(worker));
    return verdicts;
  }

  bool is_batched() const override { return true; }

  void use(const VerifierOptions& options) override {
    options_.child = sandboxed(plain_, {.mode = options.sandbox, .network = network_});
  }

 private:
  explicit Command(const Params& params) : network_(params.flag("network", false)) {
    plain_.argv = params.texts("argv", {});
    if (plain_.argv.empty()) {
      throw core::UserError(core::str(
          params.path("argv"), " is missing: expected the program and its arguments, a list"));
    }
    plain_.program = require_program(plain_.argv.front(), params.path("argv[0]"));
    plain_.environment = {"PATH", "HOME", "LANG", "VIRTUAL_ENV", "PYTHONPATH"};
    for (const std::string& name : params.texts("env", {})) plain_.environment.push_back(name);
    constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
    plain_.memory_bytes =
        static_cast<uint64_t>(params.number("memory_gib", kDefaultMemoryGib, 0.001, 1e6) * kGiB);
    options_ = {.name = plain_.argv.front(),
                .child = plain_,
                .max_restarts = params.integer("max_restarts", kDefaultRestarts, 0, 1'000'000)};
  }

  std::unique_ptr<CommandWorker> take_worker() const {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<CommandWorker>(options_);
    std::unique_ptr<CommandWorker> worker = std::move(idle_.back());
    idle_.pop_back();
    return worker;
  }

  void give_back(std::unique_ptr<CommandWorker> worker) const {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(worker));
  }

  bool network_;
  ChildOptions plain_;
  CommandOptions options_;  // of what runs: inside the sandbox, if there is one
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<CommandWorker>> idle_;
};

SGRPO_REGISTER_VERIFIER("command", Command);

}  // namespace
}  // namespace sgrpo::verifier
