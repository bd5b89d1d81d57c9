// sgrpo doctor: machine, libraries, devices, and what a run would use.
#include <sys/utsname.h>

#include <cmath>
#include <iostream>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include "cli/machine.h"
#include "cli/version.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/core/names.h"
#include "sgrpo/core/text.h"
#include "sgrpo/policy/placement.h"
#include "sgrpo/trainer/load_config.h"

namespace sgrpo::cli {
namespace {

using core::Json;
using core::str;

double gib(uint64_t bytes) {
  return std::round(static_cast<double>(bytes) / (1 << 30) * 100) / 100;
}

Json machine_report() {
  struct utsname system {};
  ::uname(&system);
  const Memory memory = read_memory();
  Json report = {{"system", str(system.sysname, " ", system.release, " ", system.machine)},
                 {"cpu", cpu_name()},
                 {"cores", available_cores()},
                 {"threads", at::get_num_threads()},
                 {"memory_gib", gib(memory.total)},
                 {"memory_available_gib", gib(memory.available)}};
  if (memory.limit != 0) report["memory_limit_gib"] = gib(memory.limit);
  return report;
}

Json library_report() {
  return {{"sgrpo", program_version()},
          {"build", build_description()},
          {"torch", TORCH_VERSION},
          {"torch_cpu_capability", at::get_cpu_capability()},
          {"mkl", core::trim(core::split(at::get_mkl_version(), '\n').front())},
          {"onednn", core::trim(core::split(at::get_mkldnn_version(), '\n').front())},
          {"openmp", core::trim(core::split(at::get_openmp_version(), '\n').front())},
          {"nlohmann_json",
           str(NLOHMANN_JSON_VERSION_MAJOR,
               ".",
               NLOHMANN_JSON_VERSION_MINOR,
               ".",
               NLOHMANN_JSON_VERSION_PATCH)}};
}

/// A folder that a run reads or writes, and whether it can.
Json folder_report(const std::filesystem::path& folder) {
  const FolderState state = inspect_folder(folder);
  return {{"path", folder.string()},
          {"writable", state.is_writable},
          {"checked", state.nearest.string()},
          {"free_gib", gib(state.free_bytes)}};
}

Json plan_report(const trainer::RunConfig& config) {
  const model::Placement placement = policy::expected_placement(config.model);
  const policy::CudaState cuda = policy::read_cuda_state();
  Json report = {{"device", c10::DeviceTypeName(placement.device.type(), /*lower_case=*/true)},
                 {"dtype", policy::dtype_name(placement)},
                 {"cuda_devices", cuda.num_devices}};
  if (const std::string why = policy::why_no_cuda(cuda); !why.empty()) report["no_cuda"] = why;
  return report;
}

void print_table(const Json& value, const std::string& indent) {
  for (const auto& [key, item] : value.items()) {
    if (item.is_structured()) {
      std::cout << indent << key << ":\n";
      print_table(item, indent + "  ");
    } else {
      const std::string name = key + ":";
      std::cout << indent << name << std::string(name.size() < 22 ? 22 - name.size() : 1, ' ')
                << (item.is_string() ? item.get<std::string>() : item.dump()) << "\n";
    }
  }
}

struct Doctor {
  static constexpr const char* kSummary =
      "machine, libraries, versions, devices, what would be used";
  static constexpr bool kTakesConfig = true;

  static std::string details() {
    return "With a configuration, its device and output_dir are checked too. Exit code 1 if a\n"
           "chosen device is missing or a chosen folder cannot be written.\n";
  }

  int run(const Invocation& invocation) {
    const trainer::RunConfig config =
        trainer::load_run_config(invocation.config, invocation.overrides);
    Json folders = Json::object();
    if (!config.output_dir.empty()) folders["output_dir"] = folder_report(config.output_dir);
    folders["temporary"] = folder_report(std::filesystem::temp_directory_path());
    const Json report = {{"machine", machine_report()},
                         {"libraries", library_report()},
                         {"would_use", plan_report(config)},
                         {"folders", folders}};
    if (invocation.json) {
      std::cout << core::dump_ascii(report) << "\n";
    } else {
      print_table(report, "");
    }
    const std::string why = policy::why_no_cuda(policy::read_cuda_state());
    if (config.model.device == model::DeviceKind::kCuda && !why.empty())
      throw core::RunError("model.device is cuda, but " + why);
    if (folders.contains("output_dir") && !folders["output_dir"]["writable"].get<bool>()) {
      throw core::RunError(str("output_dir ", config.output_dir, " cannot be written"));
    }
    return 0;
  }
};

SGRPO_REGISTER_COMMAND("doctor", Doctor);

}  // namespace
}  // namespace sgrpo::cli
