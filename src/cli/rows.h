// JSON lines in and out, and the rule for bad rows: an error row each, exit code 2 at the end.
#pragma once

#include <functional>
#include <istream>
#include <ostream>
#include <string>

#include "sgrpo/core/error.h"
#include "sgrpo/core/json.h"

namespace sgrpo::cli {

/// Wrong input that is no row's fault (the model folder, say): ends the command.
class NotTheRowError : public core::UserError {
 public:
  using core::UserError::UserError;
};

/// Counts rows and writes them as ASCII JSON lines.
class RowWriter {
 public:
  explicit RowWriter(std::ostream& out) : out_(out) {}

  /// A good row.
  void write(const core::Json& row);
  /// {"id": ..., "error": ...}; the id is left out if it is null.
  void write_error(const core::Json& id, const std::string& message);
  /// Throws core::UserError if a row was bad: every good one is written.
  void finish() const;

 private:
  std::ostream& out_;
  int64_t num_rows_ = 0, num_bad_ = 0;
  std::string first_error_;
};

/// Reads JSON lines (blank ones skipped), calls `row(value, line)` for each, and turns a
/// core::UserError of parsing or of the call into an error row, but for NotTheRowError. `name`
/// stands for the stream.
void for_each_row(std::istream& in,
                  const std::string& name,
                  RowWriter& writer,
                  const std::function<void(const core::Json& row, int64_t line)>& row);

}  // namespace sgrpo::cli
