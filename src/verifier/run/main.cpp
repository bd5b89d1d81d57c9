// sgrpo-run MEMORY_BYTES PROGRAM ARGV0 [ARGUMENT ...]
//
// Runs a program so that nothing it starts outlives who asked for it. Descriptor 3 is the read end
// of a pipe whose other end the asker holds: when that closes, because the asker wants the end or
// is dead, every descendant is killed, sessions and environments of their own notwithstanding: as
// their reaper this process inherits each orphan. The same happens when the program ends by itself;
// its exit status, or its signal, is then ours. MEMORY_BYTES (0: any) bounds each process, and is
// watched over all of them together. Static and without threads: it starts in a millisecond.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace {

constexpr int kLifeline = 3;
constexpr int kCannotRun = 127;        // as a shell says it
constexpr int kMostKillRounds = 5000;  // of a millisecond: what cannot be killed is left behind
constexpr int kWatchMs = 500;
constexpr int kMostLevels = 64;  // of processes below one another

pid_t program_pid = -1;
int program_status = 0;
bool has_ended = false;

/// Collects dead children; false if there is no child at all any more.
bool reap() {
  while (true) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid == 0) return true;
    if (pid < 0) return errno == EINTR;
    if (pid != program_pid) continue;
    program_status = status;
    has_ended = true;
  }
}

/// Kills the processes that are our children now: the program, and orphans of its making.
void kill_children() {
  char path[64];
  std::snprintf(path, sizeof(path), "/proc/self/task/%d/children", static_cast<int>(getpid()));
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) {  // a kernel without that list: at least the program and its group
    kill(-program_pid, SIGKILL);
    kill(program_pid, SIGKILL);
    return;
  }
  for (int pid = 0; std::fscanf(file, "%d", &pid) == 1;) {
    kill(-pid, SIGKILL);  // its group, if it leads one
    kill(pid, SIGKILL);
  }
  std::fclose(file);
}

void kill_descendants() {
  for (int round = 0; round < kMostKillRounds && reap(); ++round) {
    kill_children();
    if (round > 0) usleep(1000);
  }
}

/// The kilobytes behind `key` in a file of /proc, 0 if there are none.
unsigned long long kilobytes_at(int pid, const char* name, const char* key) {
  char path[64], line[256];
  std::snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return 0;
  unsigned long long value = 0;
  const size_t length = std::strlen(key);
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    if (std::strncmp(line, key, length) == 0) value = std::strtoull(line + length, nullptr, 10);
  }
  std::fclose(file);
  return value;
}

/// Sums over all processes below `pid`, `level` levels deep.
unsigned long long kilobytes_below(int pid, const char* name, const char* key, int level = 0) {
  char path[64];
  std::snprintf(path, sizeof(path), "/proc/%d/task", pid);
  DIR* threads = level < kMostLevels ? opendir(path) : nullptr;
  if (threads == nullptr) return 0;
  unsigned long long sum = 0;
  while (const dirent* thread = readdir(threads)) {
    char children[400];
    std::snprintf(children, sizeof(children), "%s/%s/children", path, thread->d_name);
    std::FILE* file = std::fopen(children, "re");
    if (file == nullptr) continue;
    for (int child = 0; std::fscanf(file, "%d", &child) == 1;)
      sum += kilobytes_at(child, name, key) + kilobytes_below(child, name, key, level + 1);
    std::fclose(file);
  }
  closedir(threads);
  return sum;
}

/// Whether all of them hold more together. Pages that several share count once in the end: that
/// sum is dear, and taken only where the simple one is over the limit.
bool holds_too_much(unsigned long long bytes) {
  const unsigned long long limit = bytes / 1024;
  const int own = static_cast<int>(getpid());
  return limit > 0 && kilobytes_below(own, "status", "RssAnon:") > limit &&
         kilobytes_below(own, "smaps_rollup", "Pss_Anon:") > limit;
}

void limit_memory(rlim_t wanted) {
  rlimit limit{};
  getrlimit(RLIMIT_DATA, &limit);
  if (wanted == 0 || wanted >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max = wanted;
  setrlimit(RLIMIT_DATA, &limit);
}

/// 0 or an error number.
int start(const char* program, char** arguments) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  return posix_spawn(&program_pid, program, nullptr, &attributes, arguments, environ);
}

/// Ends as the program did.
[[noreturn]] void end_alike() {
  if (has_ended && WIFSIGNALED(program_status)) {
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    const int number = WTERMSIG(program_status);
    sigset_t own;
    sigemptyset(&own);
    sigaddset(&own, number);
    signal(number, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &own, nullptr);
    raise(number);
  }
  _exit(has_ended && WIFEXITED(program_status) ? WEXITSTATUS(program_status) : kCannotRun);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: sgrpo-run MEMORY_BYTES PROGRAM ARGV0 [ARGUMENT ...]\n", stderr);
    return kCannotRun;
  }
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  fcntl(kLifeline, F_SETFD, FD_CLOEXEC);
  sigset_t watched;
  sigemptyset(&watched);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&watched, number);
  sigprocmask(SIG_BLOCK, &watched, nullptr);
  const int signals = signalfd(-1, &watched, SFD_CLOEXEC);
  const unsigned long long memory = std::strtoull(argv[1], nullptr, 10);
  limit_memory(memory);
  if (const int error = start(argv[2], argv + 3); error != 0) {
    std::fprintf(stderr, "cannot start: %s\n", std::strerror(error));
    return kCannotRun;
  }
  // The program's ends of the pipes are its own: its end must be seen as theirs.
  for (const int end : {STDIN_FILENO, STDOUT_FILENO}) close(end);
  fcntl(STDERR_FILENO, F_SETFD, FD_CLOEXEC);
  bool is_wanted = true, is_too_big = false;
  while (is_wanted && !has_ended) {
    pollfd events[] = {{kLifeline, POLLIN, 0}, {signals, POLLIN, 0}};
    if (poll(events, 2, kWatchMs) < 0) continue;
    is_too_big = holds_too_much(memory);
    if (is_too_big) is_wanted = false;
    if (events[0].revents != 0) is_wanted = false;
    signalfd_siginfo info{};
    if (events[1].revents == 0 || read(signals, &info, sizeof(info)) != sizeof(info)) continue;
    if (info.ssi_signo != SIGCHLD) is_wanted = false;
    reap();
  }
  kill_descendants();
  pollfd errors{STDERR_FILENO, POLLOUT, 0};
  if (is_too_big && poll(&errors, 1, 0) > 0)
    dprintf(STDERR_FILENO, "killed: its processes held more than %llu bytes together\n", memory);
  end_alike();
}
