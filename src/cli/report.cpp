// sgrpo report: run folders -> one page with their curves side by side.
#include <iostream>

#include "sgrpo/cli/command.h"
#include "sgrpo/core/file.h"
#include "sgrpo/trainer/report.h"

namespace sgrpo::cli {
namespace {

struct Report {
  static constexpr const char* kSummary = "one page with the curves and samples of several runs";
  static constexpr bool kTakesConfig = false;

  std::vector<std::string> runs;
  std::string output;
  std::string title = "sgrpo runs";

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit(
        "runs",
        runs,
        FieldInfo{.help = "run folders", .unit = "[DIR, ...]", .required = true, .is_path = true});
    visit("output",
          output,
          FieldInfo{.help = "the page", .unit = "F.html", .required = true, .is_path = true});
    visit("title", title, FieldInfo{.help = "its headline"});
  }

  int run(const Invocation&) {
    for (const std::filesystem::path folder : runs) {
      for (const char* file : {"metrics.jsonl", "config.yaml", "completions"})
        core::check_not_input(output, folder / file);
    }
    trainer::write_run_report(output, {runs.begin(), runs.end()}, title);
    std::cout << output << "\n";
    return 0;
  }
};

SGRPO_REGISTER_COMMAND("report", Report);

}  // namespace
}  // namespace sgrpo::cli
