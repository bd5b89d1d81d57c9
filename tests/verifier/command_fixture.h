// Shell scripts as external verifiers, and what tests ask about them.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "sgrpo/verifier/verifier.h"
#include "testing/scratch.h"

namespace sgrpo::verifier {

inline std::unique_ptr<Verifier> make_command(const core::Json& params) {
  return VerifierRegistry::get("verifier", "command")(params, "verifier.params");
}

/// A shell script as the judge.
inline std::unique_ptr<Verifier> shell(const std::string& script, int64_t max_restarts = 8) {
  return make_command({{"argv", {"sh", "-c", script}}, {"max_restarts", max_restarts}});
}

inline std::vector<Sample> samples(const std::vector<std::string>& completions) {
  std::vector<Sample> result;
  for (const std::string& text : completions) result.push_back({text, "truth", nullptr, false});
  return result;
}

inline std::string statuses(const std::vector<Verdict>& verdicts) {
  std::string result;
  for (const Verdict& verdict : verdicts) {
    result += (result.empty() ? "" : " ") + std::string(to_string(verdict.status));
  }
  return result;
}

inline bool has_children() { return waitpid(-1, nullptr, WNOHANG) != -1 || errno != ECHILD; }

/// Alive: listed and no zombie (a zombie is some other process's to reap).
inline bool is_alive(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string text;
  std::getline(file, text);
  const size_t close = text.rfind(')');
  return close != std::string::npos && close + 2 < text.size() && text[close + 2] != 'Z';
}

inline const char* const kJudge = R"(
while read -r line; do
  case "$line" in
    *'"completion":"good"'*) echo '{"reward": 1}';;
    *'"completion":"half"'*) echo '{"reward": 0.5}';;
    *'"completion":"slow"'*) sleep 60;;
    *'"completion":"crash"'*) echo 'out of luck' >&2; exit 3;;
    *'"completion":"abort"'*) kill -SEGV $$;;
    *) echo '{"reward": 0}';;
  esac
done)";

}  // namespace sgrpo::verifier
