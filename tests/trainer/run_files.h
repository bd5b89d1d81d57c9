// A tiny checkpoint, training and validation rows with pictures, and runs on them.
#pragma once

#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "sgrpo/checkpoint/model_folder.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/sha256.h"
#include "sgrpo/trainer/load_config.h"
#include "sgrpo/trainer/trainer.h"
#include "testing/png.h"
#include "testing/scratch.h"
#include "testing/tiny_checkpoint.h"

namespace sgrpo::trainer {

using core::Json;
using Overrides = std::vector<std::string>;
using Tensors = std::map<std::string, at::Tensor>;

/// Weights or optimizer state by name.
inline Tensors read_tensors(const std::filesystem::path& file) {
  Tensors tensors;
  const checkpoint::SafetensorsFile input(file);
  for (const checkpoint::TensorEntry& entry : input.entries())
    tensors[entry.name] = input.read(entry.name);
  return tensors;
}

inline double max_difference(const Tensors& a, const Tensors& b) {
  double largest = 0.0;
  EXPECT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a)
    largest = std::max(largest, (tensor - b.at(name)).abs().max().item<double>());
  return largest;
}

/// A row of metrics without what the clock and the machine decide.
inline Json without_times(Json row) {
  std::vector<std::string> names;
  for (const auto& [name, value] : row.items()) {
    const bool is_machine = core::starts_with(name, "timing_s/") || name == "step_time" ||
                            core::starts_with(name, "perf/") || core::starts_with(name, "mem/");
    if (is_machine) names.push_back(name);
  }
  for (const std::string& name : names) row.erase(name);
  return row;
}

/// Tests that train; every run has a folder of its own.
class Runs : public ::testing::Test {
 protected:
  Runs() {
    at::set_num_threads(1);  // a tiny model is slower on two
    testing::write_tiny_checkpoint(model());
    write_rows("train.jsonl", 12, 100);
    write_rows("val.jsonl", 3, 200);
  }
  ~Runs() override { core::request_stop(false); }

  std::filesystem::path model() const { return scratch_ / "model"; }

  /// Row i asks about picture `first_picture` + i; tasks and verifiers are the defaults.
  std::vector<Json> rows(int64_t count, uint32_t first_picture) const {
    const std::vector<std::string> items = {"bag", "shoe", "boot", "dress", "coat"};
    std::vector<Json> result;
    for (int64_t i = 0; i < count; ++i) {
      const auto picture = first_picture + static_cast<uint32_t>(i);
      const std::string image = core::str("img/", picture, ".png");
      scratch_.write(image, testing::make_png(28, 28, picture));
      result.push_back(
          {{"id", core::str("row-", picture)},
           {"prompt", i % 3 == 0 ? "<image>what is this" : "<image>which item is this?"},
           {"images", {image}},
           {"ground_truth", items[static_cast<size_t>(i) % items.size()]},
           {"items", {items[static_cast<size_t>(i) % items.size()]}},
           {"baseline", 0.25},
           {"task", i % 2 == 0 ? "even" : "odd"}});
    }
    return result;
  }
  void write_rows(const std::string& name, int64_t count, uint32_t first_picture) const {
    scratch_.write(name, testing::to_jsonl(rows(count, first_picture)));
  }

  /// Four prompts of four short completions a step. eps 1 keeps Adam's first updates proportional
  /// to the gradient, so that weights compare as gradients do.
  RunConfig config(const std::string& name, const Overrides& overrides) const {
    Overrides all = {"output_dir=" + (scratch_ / name).string(),
                     "model.path=" + model().string(),
                     "data.train=" + (scratch_ / "train.jsonl").string(),
                     "trainer.prompts_per_step=4",
                     "trainer.steps=1",
                     "rollout.group_size=4",
                     "rollout.max_new_tokens=8",
                     "optim.lr=0.05",
                     "optim.eps=1.0"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return load_run_config({}, all);
  }

  /// Runs to the end and returns the run's folder.
  std::filesystem::path run(const std::string& name,
                            const Overrides& overrides,
                            Task task = Task::kPolicyGradient) const {
    const testing::LogCapture quiet;
    Trainer(config(name, overrides), task).run();
    return scratch_ / name;
  }

  /// The message of the UserError that opening or running it ends with.
  std::string error_of(const Overrides& overrides, Task task = Task::kPolicyGradient) const {
    const std::string message =
        testing::message_of<core::UserError>([&] { run("refused", overrides, task); });
    return scratch_.shorten(message);
  }

  static std::filesystem::path weights_of(const std::filesystem::path& run, int64_t step) {
    return folder_of(run, step) / "model" / "model.safetensors";
  }
  static std::filesystem::path optimizer_of(const std::filesystem::path& run, int64_t step) {
    return folder_of(run, step) / "optimizer.safetensors";
  }
  static std::filesystem::path folder_of(const std::filesystem::path& run, int64_t step) {
    char name[32];
    std::snprintf(name, sizeof(name), "step-%06lld", static_cast<long long>(step));
    return run / "checkpoints" / name;
  }
  static std::vector<Json> metrics_of(const std::filesystem::path& run) {
    return testing::read_jsonl(run / "metrics.jsonl");
  }
  static std::vector<Json> completions_of(const std::filesystem::path& run, int64_t step) {
    char name[32];
    std::snprintf(name, sizeof(name), "step-%06lld.jsonl", static_cast<long long>(step));
    return testing::read_jsonl(run / "completions" / name);
  }

  /// A verifier that passes about half of all random completions.
  static Overrides coin() {
    return {"verifier.name=regex", "verifier.params={pattern: '[ab]'}", "verifier.truncated=judge"};
  }
  /// A verifier that passes everything.
  static Overrides always_right() {
    return {"verifier.name=regex", "verifier.params={pattern: '^'}", "verifier.truncated=judge"};
  }
  static Overrides both(Overrides a, const Overrides& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }

  testing::Scratch scratch_;
};

/// The same metrics row by row, but for times, memory and names that begin with `ignored`.
inline void expect_same_metrics(const std::filesystem::path& a,
                                const std::filesystem::path& b,
                                const std::vector<std::string>& ignored = {}) {
  const auto left = testing::read_jsonl(a / "metrics.jsonl");
  const auto right = testing::read_jsonl(b / "metrics.jsonl");
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    const Json x = without_times(left[i]), y = without_times(right[i]);
    for (const auto& [name, value] : x.items()) {
      const bool is_ignored =
          std::any_of(ignored.begin(), ignored.end(), [&, key = name](const std::string& prefix) {
            return core::starts_with(key, prefix);
          });
      if (is_ignored) continue;
      ASSERT_TRUE(y.contains(name)) << name;
      EXPECT_EQ(value, y.at(name)) << "row " << i << ", " << name;
    }
    EXPECT_TRUE(x.size() == y.size() || !ignored.empty()) << "row " << i;
  }
}

inline void expect_same_bytes(const std::filesystem::path& a, const std::filesystem::path& b) {
  EXPECT_EQ(core::sha256_hex(core::read_file(a)), core::sha256_hex(core::read_file(b))) << a << "\n"
                                                                                        << b;
}

}  // namespace sgrpo::trainer
