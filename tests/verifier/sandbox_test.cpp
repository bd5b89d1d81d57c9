// What bubblewrap is asked for, what happens where it cannot, and what a program can do inside.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <optional>

#include "command_fixture.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "testing/scratch.h"
#include "verifier/sandbox.h"

namespace sgrpo::verifier {
namespace {

namespace fs = std::filesystem;

/// PATH for as long as it lives.
class Path {
 public:
  explicit Path(const std::string& value) : before_(std::getenv("PATH")) {
    setenv("PATH", value.c_str(), 1);
  }
  ~Path() { setenv("PATH", before_.c_str(), 1); }

 private:
  std::string before_;
};

std::string with_first(const fs::path& folder) {
  return folder.string() + ":" + std::getenv("PATH");
}

void write_program(const fs::path& path, const std::string& script) {
  std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
  fs::permissions(path, fs::perms::owner_all);
}

/// A bubblewrap that notes its arguments beside itself and runs the program without any of it.
/// `refuses`: an option that this machine's kernel does not allow.
void write_bubblewrap(const fs::path& folder, const std::string& refuses) {
  write_program(folder / "bwrap",
                "echo \"$@\" >> " + (folder / "arguments").string() + "\ncase \" $* \" in *' " +
                    refuses +
                    " '*) echo 'bwrap: No permissions to create new namespace' >&2; exit 1;; "
                    "esac\nwhile [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"");
}

std::string judged(Sandbox mode, core::Json params) {
  if (!params.contains("argv")) params["argv"] = {"/bin/sh", "-c", kJudge};
  VerifierOptions options;
  options.name = "command";
  options.params = params;
  options.sandbox = mode;
  options.timeout_s = 60;
  const VerifierSet set(options, core::Json::object(), core::Json::array());
  return statuses(set.judge({{"", {"good", "x", nullptr, false}}}));
}

std::string refusal(Sandbox mode) {
  try {
    return judged(mode, core::Json::object());
  } catch (const core::UserError& error) {
    return error.what();
  }
}

TEST(Sandbox, auto_keeps_the_network_and_require_takes_it_unless_it_is_asked_for) {
  const testing::Scratch folder;
  write_bubblewrap(folder.path(), "--nothing");
  const Path path(with_first(folder.path()));
  const auto asked = [&](Sandbox mode, const core::Json& params) {
    fs::remove(folder.path() / "arguments");
    EXPECT_EQ(judged(mode, params), "correct");
    return fs::exists(folder.path() / "arguments") ? core::read_file(folder.path() / "arguments")
                                                   : "";
  };
  const std::string by_auto = asked(Sandbox::kAuto, core::Json::object());
  for (const char* option :
       {"--ro-bind / /", "--tmpfs /tmp", "--unshare-pid", "--unshare-ipc", "--die-with-parent"}) {
    EXPECT_NE(by_auto.find(option), std::string::npos) << option << " in " << by_auto;
  }
  EXPECT_EQ(by_auto.find("--unshare-net"), std::string::npos);
  EXPECT_NE(asked(Sandbox::kRequire, core::Json::object()).find("--unshare-net"),
            std::string::npos);
  EXPECT_EQ(asked(Sandbox::kRequire, {{"network", true}}).find("--unshare-net"), std::string::npos);
  EXPECT_EQ(asked(Sandbox::kOff, core::Json::object()), "");
}

TEST(Sandbox, kernel_that_refuses_all_is_said_by_auto_and_refused_by_require) {
  testing::LogCapture warnings;
  const testing::Scratch folder;
  write_bubblewrap(folder.path(), "--ro-bind");
  const Path path(with_first(folder.path()));
  EXPECT_EQ(judged(Sandbox::kAuto, core::Json::object()), "correct");
  EXPECT_NE(warnings.text().find(
                "verifier.sandbox auto: '/bin/sh' runs with this user's rights, without a sandbox: "
                "bubblewrap cannot give one here (exit status 1; stderr ends with 'bwrap: No "
                "permissions to create new namespace')"),
            std::string::npos)
      << warnings.text();
  EXPECT_EQ(
      refusal(Sandbox::kRequire),
      "verifier.sandbox is require, but bubblewrap cannot give it here (exit status 1; stderr "
      "ends with 'bwrap: No permissions to create new namespace'); allow user namespaces, or "
      "set verifier.sandbox: auto or off");
}

TEST(Sandbox, kernel_that_refuses_a_process_namespace_leaves_the_rest) {
  testing::LogCapture warnings;
  const testing::Scratch folder;
  write_bubblewrap(folder.path(), "--unshare-pid");
  const Path path(with_first(folder.path()));
  EXPECT_EQ(judged(Sandbox::kAuto, core::Json::object()), "correct");
  EXPECT_NE(warnings.text().find("'/bin/sh' sees all processes: bubblewrap cannot hide them here"),
            std::string::npos)
      << warnings.text();
  EXPECT_NE(refusal(Sandbox::kRequire).find("bubblewrap cannot give it here"), std::string::npos);
}

TEST(Sandbox, missing_bubblewrap_is_said_by_auto_and_refused_by_require) {
  testing::LogCapture warnings;
  const Path path("/nowhere");
  EXPECT_EQ(judged(Sandbox::kAuto, core::Json::object()), "correct");
  EXPECT_NE(warnings.text().find("without a sandbox: bubblewrap (bwrap) is not on PATH"),
            std::string::npos)
      << warnings.text();
  EXPECT_EQ(
      refusal(Sandbox::kRequire),
      "verifier.sandbox is require, but bubblewrap (bwrap) is not on PATH; install it, or set "
      "verifier.sandbox: auto or off");
}

/// What a script in a folder below /tmp finds out about its surroundings, as the verdict's answer.
std::string findings(Sandbox mode, const fs::path& folder) {
  write_program(folder / "judge",
                R"sh(here=$(dirname "$0"); read -r line; found=
    note() { found="$found $1"; }
    [ "$(cat "$here/beside")" = text ] && note reads
    (: > "$here/left") 2>/dev/null && note writes
    (: > /tmp/sgrpo_sandbox_own_$1) 2>/dev/null && note own
    kill -0 $1 2>/dev/null && note kills
    setsid sleep 1000 &
    echo "{\"reward\": 1, \"answer\": \"$found\", \"comment\": \"$SGRPO_TEST_SECRET\"}"; read -r line)sh");
  std::ofstream(folder / "beside") << "text";
  VerifierOptions options;
  options.name = "command";
  options.params = {{"argv", {(folder / "judge").string(), std::to_string(getpid())}}};
  options.sandbox = mode;
  options.timeout_s = 60;
  setenv("SGRPO_TEST_SECRET", "secret", 1);
  const VerifierSet set(options, core::Json::object(), core::Json::array());
  const Verdict verdict = set.judge({{"", {"good", "x", nullptr, false}}}).at(0);
  return std::string(to_string(verdict.status)) + verdict.answer + verdict.comment;
}

TEST(Sandbox, program_reads_what_lies_beside_it_and_changes_nothing) {
  const testing::Scratch folder;
  const fs::path own = "/tmp/sgrpo_sandbox_own_" + std::to_string(getpid());
  EXPECT_EQ(findings(Sandbox::kOff, folder.path()), "correct reads writes own kills");
  EXPECT_TRUE(fs::remove(own));
  EXPECT_TRUE(fs::remove(folder.path() / "left"));
  for (const Sandbox mode : {Sandbox::kAuto, Sandbox::kRequire}) {
    std::string found;
    try {
      found = findings(mode, folder.path());
    } catch (const core::UserError& error) {
      GTEST_SKIP() << error.what();
    }
    if (found == "correct reads writes own kills") {  // auto, and no sandbox to be had
      EXPECT_TRUE(fs::remove(own));
      continue;
    }
    // The number may be that of a process of its own.
    EXPECT_EQ(found.substr(0, std::string("correct reads own").size()), "correct reads own");
    EXPECT_FALSE(fs::exists(own));
    EXPECT_FALSE(fs::exists(folder.path() / "left"));
  }
  EXPECT_FALSE(has_children());
}

/// A script that misbehaves once it has its row; `waits`: until its time is over.
struct Hostile {
  const char* name;
  const char* script;
  bool waits;
};

const std::vector<Hostile> kHostile = {
    {"no end", "while :; do :; done", true},
    {"sleep", "sleep 1000", true},
    {"ignores signals", "trap '' TERM INT HUP; sleep 1000", true},
    {"stops itself", "kill -STOP $$", true},
    {"kills itself", "kill -KILL $$", false},
    {"ends", "exit 0", false},
    {"sessions of its own", "setsid setsid sleep 1000 & setsid sh -c 'sleep 1000; :' & wait", true},
    {"no environment", "env -i setsid sleep 1000 & exec sleep 1000", true},
    {"leaves a child", "sleep 1000 & exit 0", false},
    {"closes its output", "exec >&-; sleep 1000", true},
    {"closes its input", "exec <&-; sleep 1000", true},
    {"endless line", "exec cat /dev/zero", false},
    {"endless lines", "exec yes", false},
    {"endless errors", "exec cat /dev/zero >&2", true},
    {"text", "echo hello", false},
    {"bytes", "printf '\\377\\n'", false},
    {"another row", "echo '{\"id\": 7, \"reward\": 1}'", false},
    {"a reward beyond", "echo '{\"reward\": 1e999}'", false},
    {"deep JSON", "head -c 100000 /dev/zero | tr '\\0' '['; echo", false},
    {"much memory", "x=$(head -c 90000000 /dev/zero | tr '\\0' x); echo '{\"reward\": 1}'", false},
};

TEST(Sandbox, hostile_programs_are_masked_and_leave_nothing_behind) {
  for (const Sandbox mode : {Sandbox::kOff, Sandbox::kAuto}) {
    for (const Hostile& hostile : kHostile) {
      VerifierOptions options;
      options.name = "command";
      options.params = {
          {"argv", {"sh", "-c", std::string("read -r line; ") + hostile.script + "; read -r line"}},
          {"memory_gib", 0.0625}};
      options.sandbox = mode;
      options.timeout_s = hostile.waits ? 0.3 : 60.0;
      const VerifierSet set(options, core::Json::object(), core::Json::array());
      const Verdict verdict = set.judge({{"", {"good", "x", nullptr, false}}}).at(0);
      EXPECT_FALSE(verdict.is_valid()) << hostile.name;
    }
  }
  EXPECT_FALSE(has_children());
}

}  // namespace
}  // namespace sgrpo::verifier
