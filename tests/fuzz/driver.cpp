// A small mutating driver for compilers without libFuzzer: every target's seeds, then damaged ones.
// The same arguments give the same inputs.
//
//   fuzz_parsers SEEDS MUTATIONS [SECONDS] [TARGET ...]
//
// MUTATIONS are shared out among the targets, and end early after SECONDS a target (0: never). What
// crashes, hangs or throws what no parser may throw is left as crash-TARGET beside the caller.
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <fcntl.h>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "fuzz/targets.h"

namespace {

namespace fs = std::filesystem;
using sgrpo::fuzz::Target;

constexpr size_t kMostBytes = 1 << 16;
constexpr int kMostSeconds = 20;  // of processor time, for one input

// What a signal handler may still know.
const std::string* running_input = nullptr;
char crash_file[256] = "";

void keep_input() {
  const int file = open(crash_file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0 || running_input == nullptr) return;
  const ssize_t written = write(file, running_input->data(), running_input->size());
  static_cast<void>(written);
  close(file);
}

void on_fault(int signal_number) {
  keep_input();
  const char message[] = "fault: the input is kept as ";
  for (const char* text : {message, static_cast<const char*>(crash_file), "\n"}) {
    const ssize_t written = write(STDERR_FILENO, text, std::strlen(text));
    static_cast<void>(written);
  }
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void watch_faults() {
  static char stack[1 << 16];  // a handler of a stack overflow needs a stack of its own
  stack_t own{};
  own.ss_sp = stack;
  own.ss_size = sizeof(stack);
  sigaltstack(&own, nullptr);
  struct sigaction action {};
  action.sa_handler = on_fault;
  action.sa_flags = SA_ONSTACK;
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGVTALRM})
    sigaction(number, &action, nullptr);
}

void limit_time() {
  itimerval limit{};
  limit.it_value.tv_sec = kMostSeconds;
  setitimer(ITIMER_VIRTUAL, &limit, nullptr);
}

/// False, and says why, if the target throws.
bool run(const Target& target, const std::string& input) {
  running_input = &input;
  limit_time();
  try {
    target.run(reinterpret_cast<const uint8_t*>(input.data()), input.size());
    return true;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: threw: %s\n", target.name, error.what());
  } catch (...) {
    std::fprintf(stderr, "%s: threw something unknown\n", target.name);
  }
  keep_input();
  std::fprintf(stderr, "the input is kept as %s\n", crash_file);
  return false;
}

std::vector<std::string> read_seeds(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> seeds;
  for (const fs::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return seeds;
}

class Mutator {
 public:
  Mutator(const std::vector<std::string>& seeds, uint64_t seed) : seeds_(seeds), random_(seed) {}

  std::string next() {
    std::string text = seeds_[below(seeds_.size())];
    for (size_t edits = 1 + below(4); edits > 0; --edits) edit(text);
    if (text.size() > kMostBytes) text.resize(kMostBytes);
    return text;
  }

 private:
  size_t below(size_t bound) { return bound == 0 ? 0 : random_() % bound; }

  std::string piece(const std::string& text) {
    const size_t begin = below(text.size());
    return text.substr(begin, 1 + below(64));
  }

  void edit(std::string& mutable_text) {
    static const std::vector<std::string> kWords = {"null",
                                                    "true",
                                                    "-1",
                                                    "0",
                                                    "1e999",
                                                    "NaN",
                                                    "99999999999999999999",
                                                    "9223372036854775807",
                                                    "\"\"",
                                                    "{}",
                                                    "[]",
                                                    "[[[[[[[[",
                                                    "\\u0000",
                                                    "\\ud800",
                                                    "\xFF",
                                                    "\xEF\xBB\xBF",
                                                    "\n",
                                                    "\r\n",
                                                    std::string("\0\0\0\0", 4),
                                                    "\xFF\xFF\xFF\xFF",
                                                    "\x7F\xFF\xFF\xFF",
                                                    "{{",
                                                    "}}",
                                                    "{%",
                                                    "<image>"};
    const size_t at = below(mutable_text.size() + 1);
    switch (below(8)) {
      case 0:
        if (at < mutable_text.size()) mutable_text[at] ^= static_cast<char>(1U << below(8));
        break;
      case 1:
        if (at < mutable_text.size()) mutable_text[at] = static_cast<char>(below(256));
        break;
      case 2: mutable_text.erase(at, 1 + below(64)); break;
      case 3: mutable_text.insert(at, piece(mutable_text)); break;
      case 4: mutable_text.insert(at, piece(seeds_[below(seeds_.size())])); break;
      case 5: mutable_text.insert(at, kWords[below(kWords.size())]); break;
      case 6: {
        const std::string& word = kWords[below(kWords.size())];
        mutable_text.replace(at, word.size(), word);
        break;
      }
      default: mutable_text.resize(at); break;
    }
  }

  const std::vector<std::string>& seeds_;
  std::mt19937_64 random_;
};

bool fuzz(const Target& target, const fs::path& folder, uint64_t mutations, double seconds) {
  std::snprintf(crash_file, sizeof(crash_file), "crash-%s", target.name);
  const std::vector<std::string> seeds = read_seeds(folder / target.name);
  if (seeds.empty()) {
    std::fprintf(stderr, "%s: no seeds in %s\n", target.name, folder.c_str());
    return false;
  }
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  for (const std::string& seed : seeds) {
    if (!run(target, seed)) return false;
  }
  Mutator mutator(seeds, 20240517);
  uint64_t done = 0;
  for (; done < mutations && (seconds <= 0.0 || elapsed() < seconds); ++done) {
    const std::string input = mutator.next();
    if (!run(target, input)) return false;
  }
  std::printf("%-16s %3zu seeds %8llu mutations %7.1f s\n",
              target.name,
              seeds.size(),
              static_cast<unsigned long long>(done),
              elapsed());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: fuzz_parsers SEEDS MUTATIONS [SECONDS] [TARGET ...]\n");
    return 2;
  }
  watch_faults();
  const double seconds = argc > 3 ? std::atof(argv[3]) : 0.0;
  const std::vector<std::string> wanted(argv + std::min(argc, 4), argv + argc);
  std::vector<Target> targets;
  for (const Target& target : sgrpo::fuzz::kTargets) {
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), target.name) != wanted.end())
      targets.push_back(target);
  }
  if (targets.size() != (wanted.empty() ? std::size(sgrpo::fuzz::kTargets) : wanted.size())) {
    std::fprintf(stderr, "fuzz_parsers: unknown target; known:");
    for (const Target& target : sgrpo::fuzz::kTargets) std::fprintf(stderr, " %s", target.name);
    std::fprintf(stderr, "\n");
    return 2;
  }
  const uint64_t share = std::strtoull(argv[2], nullptr, 10) / targets.size();
  int failures = 0;
  for (const Target& target : targets) failures += !fuzz(target, argv[1], share, seconds);
  return failures == 0 ? 0 : 1;
}
