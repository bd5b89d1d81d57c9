// What lint says about all rows together.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sgrpo/core/json.h"
#include "sgrpo/data/image_catalog.h"
#include "sgrpo/data/lint.h"
#include "sgrpo/data/options.h"

namespace sgrpo::cli {

/// Counts over the rows of all files.
class LintSummary {
 public:
  explicit LintSummary(const data::DataOptions& options) : options_(options) {}

  /// `is_train`: the row counts towards data.max_bad_fraction.
  void add(const data::LintedRow& row, bool is_train);
  void set_images(const data::ImageCatalog& catalog, bool is_full);

  int64_t num_rows() const { return rows_; }
  int64_t num_bad() const { return bad_rows_; }
  core::Json to_json() const;
  void log() const;

 private:
  bool stops_run() const;
  void log_left_out() const;
  void log_images() const;

  const data::DataOptions& options_;
  int64_t rows_ = 0, bad_rows_ = 0, image_places_ = 0, missing_ground_truth_ = 0;
  int64_t answered_ = 0;                     // prompts that end with an assistant turn
  std::map<std::string, int64_t> problems_;  // rows by check; a row may have several
  std::vector<int64_t> prompt_tokens_, ground_truth_tokens_;

  int64_t left_out_ = 0;                    // rows that a run does not use
  std::map<std::string, int64_t> reasons_;  // of them, by the first reason
  int64_t train_rows_ = 0, train_bad_ = 0, train_long_ = 0;

  int64_t same_prompt_ = 0, contradicting_ = 0;
  std::vector<std::string> same_prompt_examples_;

  bool is_full_ = false;
  int64_t image_files_ = 0;
  double image_ms_ = 0.0, median_ms_ = 0.0;  // CPU, over files
  std::vector<data::ImageCatalog::Cost> slowest_;
};

}  // namespace sgrpo::cli
