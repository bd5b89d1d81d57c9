#include "cli/rows.h"

#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/text.h"

namespace sgrpo::cli {

using core::str;

void RowWriter::write(const core::Json& row) {
  ++num_rows_;
  out_ << core::dump_ascii(row) << "\n";
}

void RowWriter::write_error(const core::Json& id, const std::string& message) {
  core::Json row = core::Json::object();
  if (!id.is_null()) row["id"] = id;
  row["error"] = message;
  write(row);
  if (num_bad_++ == 0) first_error_ = message;
}

void RowWriter::finish() const {
  if (num_bad_ == 0) return;
  throw core::UserError(str(num_bad_,
                            " of ",
                            num_rows_,
                            num_rows_ == 1 ? " row is bad" : " rows are bad",
                            " (each has an error row in the output); the first: ",
                            first_error_));
}

void for_each_row(std::istream& in,
                  const std::string& name,
                  RowWriter& writer,
                  const std::function<void(const core::Json& row, int64_t line)>& row) {
  std::string text;
  for (int64_t line = 1;; ++line) {
    const bool has_line = static_cast<bool>(std::getline(in, text));
    if (core::stop_requested()) throw core::Interrupted(str("interrupted at ", name, ":", line));
    if (!has_line) return;
    if (line == 1 && core::starts_with(text, "\xEF\xBB\xBF")) text.erase(0, 3);
    if (core::trim(text).empty()) continue;
    core::Json id;
    try {
      const core::Json value = core::parse_json(text, str(name, ":", line), core::Numbers::kText);
      if (const core::Json* given = core::find(value, "id")) id = *given;
      row(value, line);
    } catch (const NotTheRowError&) {
      throw;
    } catch (const core::UserError& error) {
      writer.write_error(id, error.what());
    }
  }
}

}  // namespace sgrpo::cli
