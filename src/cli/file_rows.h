// What generate and logprobs share: a checkpoint, rows in, rows out.
#pragma once

#include <memory>
#include <string>

#include "sgrpo/config/fields.h"
#include "sgrpo/policy/policy.h"

namespace sgrpo::cli {

/// Flags of a command that turns a file of rows into another.
struct FileJob {
  std::string model, input, output;
  model::Dtype dtype = model::Dtype::kAuto;
  model::DeviceKind device = model::DeviceKind::kAuto;
  std::optional<int64_t> min_pixels, max_pixels;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("model",
          model,
          FieldInfo{.help = "checkpoint folder", .unit = "DIR", .required = true, .is_path = true});
    visit("input",
          input,
          FieldInfo{.help = "data rows", .unit = "F.jsonl", .required = true, .is_path = true});
    visit("output",
          output,
          FieldInfo{.help = "result rows", .unit = "O.jsonl", .required = true, .is_path = true});
    visit("dtype", dtype, FieldInfo{.help = "type of weights and computation"});
    visit("device", device, FieldInfo{.help = "auto takes a GPU where there is one"});
    visit("min_pixels",
          min_pixels,
          FieldInfo{.help = "instead of the folder's own", .unit = "N", .low = 1, .high = 1e9});
    visit("max_pixels",
          max_pixels,
          FieldInfo{.help = "instead of the folder's own", .unit = "N", .low = 1, .high = 1e9});
  }

  /// Throws core::UserError also where writing `output` would destroy what is read.
  std::unique_ptr<policy::Policy> open(int64_t max_batch_rows = policy::kMaxBatchRows) const;
};

/// 0, or core::UserError when rows were bad: every good one is written.
int finish_rows(int64_t num_bad, const FileJob& job);

}  // namespace sgrpo::cli
