// The files behind `data.train`, read once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sgrpo/data/options.h"
#include "sgrpo/data/rows.h"
#include "sgrpo/data/stream.h"

namespace sgrpo::data {

/// One file of `data.train` with its rows.
struct TrainFile : TrainEntry {
  std::string sha256;
  std::vector<std::shared_ptr<const PromptRecord>> records;  // per row; null: a bad row
  std::vector<RecordError> errors;                           // of the bad rows, in file order
};

/// Reads the files of `data.train`: as train_entries reads them. Throws
/// core::UserError for a wrong value or an unreadable file.
std::vector<TrainFile> read_train_files(const DataOptions& options);

}  // namespace sgrpo::data
