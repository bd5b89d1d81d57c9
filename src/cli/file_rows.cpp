#include "cli/file_rows.h"

#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"

namespace sgrpo::cli {

std::unique_ptr<policy::Policy> FileJob::open(int64_t max_batch_rows) const {
  for (const std::string& read : {input, model}) core::check_not_input(output, read);
  model::ModelOptions options;
  options.path = model;
  options.dtype = dtype;
  options.device = device;
  policy::EncoderLimits limits;
  limits.min_pixels = min_pixels;
  limits.max_pixels = max_pixels;
  return policy::open(model, options, limits, max_batch_rows);
}

int finish_rows(int64_t num_bad, const FileJob& job) {
  if (num_bad == 0) return 0;
  throw core::UserError(core::str(num_bad,
                                  " bad rows in ",
                                  job.input,
                                  ": each has an {\"id\", \"error\"} row in ",
                                  job.output,
                                  "; every good row is written"));
}

}  // namespace sgrpo::cli
