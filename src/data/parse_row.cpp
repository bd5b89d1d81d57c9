// One JSON object -> PromptRecord.
#include "data/describe.h"
#include "data/image_paths.h"
#include "data/messages.h"
#include "sgrpo/core/text.h"
#include "sgrpo/data/rows.h"

namespace sgrpo::data {
namespace {

using core::Json;
using core::str;
using core::UserError;

/// A column under its own name or an alias; the first that is present and not null wins, so a row
/// may carry its original columns beside the converted ones.
struct Column {
  std::string name;
  const Json* value = nullptr;
};

Column find_column(const Json& row, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const Json* value = core::find(row, name); value != nullptr) return {name, value};
  }
  return {*names.begin(), nullptr};
}

std::string read_id(const Json& row, const RowSource& source) {
  const Json* id = core::find(row, "id");
  if (id == nullptr) return std::to_string(source.line);
  if (id->is_string() && !id->get<std::string>().empty()) return id->get<std::string>();
  if (id->is_number_integer()) return id->dump();
  throw UserError(str(
      "'id' is ", id->is_string() ? "empty" : kind_of(*id), ", expected a string or an integer"));
}

std::optional<std::string> read_string(const Json& row, const char* name) {
  const Json* value = core::find(row, name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string())
    throw UserError(str("'", name, "' is ", kind_of(*value), ", expected a string"));
  return value->get<std::string>();
}

/// Numbers are common answers; their text is what JSON wrote.
std::optional<std::string> read_ground_truth(const Json& row) {
  const Column column = find_column(row, {"ground_truth", "solution", "answer"});
  if (column.value == nullptr) return std::nullopt;
  if (column.value->is_string()) return column.value->get<std::string>();
  if (column.value->is_number()) return column.value->dump();
  throw UserError(str("'",
                      column.name,
                      "' is ",
                      kind_of(*column.value),
                      ", expected a string; write structured answers as JSON text in a string"));
}

/// A string, or TRL's conversational form: a list with one assistant message.
std::optional<std::string> read_completion(const Json& row) {
  const Json* value = core::find(row, "completion");
  if (value == nullptr || !value->is_array()) return read_string(row, "completion");
  const ParsedPrompt parsed = parse_prompt(*value, "completion");
  const bool is_one_text = parsed.messages.size() == 1 && parsed.messages[0].role == "assistant" &&
                           parsed.part_paths.empty() && parsed.messages[0].content.size() == 1;
  if (!is_one_text)
    throw UserError("'completion' is a list, expected a string or one assistant message with text");
  return parsed.messages[0].content[0].text;
}

/// Paths of `images`, or the one of `image`, as written.
std::vector<std::string> read_image_names(const Json& row) {
  const auto path_of = [](const Json& entry, const std::string& column) {
    const Json* path = entry.is_object() ? core::find(entry, "path") : &entry;
    if (path == nullptr || !path->is_string())
      throw UserError(str("'", column, "' holds ", kind_of(entry), ", expected paths"));
    return path->get<std::string>();
  };
  std::vector<std::string> names;
  if (const Json* images = core::find(row, "images"); images != nullptr) {
    if (!images->is_array())
      throw UserError(str("'images' is ",
                          kind_of(*images),
                          ", expected a list of paths (a single path goes under 'image')"));
    for (const Json& entry : *images) names.push_back(path_of(entry, "images"));
  } else if (const Json* image = core::find(row, "image"); image != nullptr) {
    if (image->is_array())
      throw UserError("'image' is a list, expected one path (several go under 'images')");
    names.push_back(path_of(*image, "image"));
  }
  if (const Json* videos = core::find(row, "videos"); videos != nullptr && !videos->empty())
    throw UserError("the row has 'videos', which are not supported");
  return names;
}

std::string count(size_t n, const std::string& noun) {
  return str(n, " ", noun, n == 1 ? "" : "s");
}

/// One path per image part: from the part itself or from the row's list, never from both.
std::vector<std::string> match_images(ParsedPrompt& prompt, std::vector<std::string> names) {
  std::vector<std::string> own;
  for (const auto& path : prompt.part_paths)
    if (path) own.push_back(*path);
  if (!own.empty()) {
    if (own.size() != prompt.part_paths.size())
      throw UserError(str(own.size(),
                          " of ",
                          prompt.part_paths.size(),
                          " image parts name a path; name all, or list them under 'images'"));
    if (!names.empty() && names != own)
      throw UserError("the image parts name other paths than 'images'; keep one of the two");
    return own;
  }
  if (prompt.part_paths.empty() && !names.empty()) put_images_first(prompt, names.size());
  if (prompt.part_paths.size() != names.size())
    throw UserError(str("the prompt has ",
                        count(prompt.part_paths.size(), "image part"),
                        " and 'images' has ",
                        count(names.size(), "path"),
                        "; give one path per part or <image>"));
  return names;
}

[[noreturn]] void missing_prompt(const Json& row) {
  std::vector<std::string> columns;
  std::string hint;
  for (const auto& [key, value] : row.items()) {
    for (const char* name : {"prompt", "messages", "problem"})
      if (key == name) throw UserError(str("'", key, "' is null, expected text or messages"));
    columns.push_back(core::printable(key, 40));
    const std::string meant = core::did_you_mean(key, {"prompt", "messages", "problem"});
    if (hint.empty() && !meant.empty()) hint = str("; is '", columns.back(), "' one?", meant);
  }
  throw UserError(str("the row has no 'prompt' (or 'messages', 'problem'); its columns are ",
                      columns.empty() ? "none" : core::join(columns, ", "),
                      hint));
}

void read_prompt(const Json& row, const RowOptions& options, PromptRecord& record) {
  const Column column = find_column(row, {"prompt", "messages", "problem"});
  if (column.value == nullptr) {
    if (options.requires_prompt) missing_prompt(row);
    return;
  }
  ParsedPrompt prompt = parse_prompt(*column.value, column.name);
  for (const std::string& name : match_images(prompt, read_image_names(row)))
    record.images.push_back(resolve_image(name, record.source, record.id, options));
  record.messages = std::move(prompt.messages);
}

}  // namespace

PromptRecord parse_row(const Json& row, const RowSource& source, const RowOptions& options) {
  PromptRecord record;
  record.id = std::to_string(source.line);
  record.source = source;
  try {
    if (!row.is_object()) throw UserError(str("the row is ", kind_of(row), ", expected an object"));
    record.id = read_id(row, source);
    read_prompt(row, options, record);
    record.ground_truth = read_ground_truth(row);
    record.ground_truth_completion = read_string(row, "ground_truth_completion");
    record.completion = read_completion(row);
    record.verifier = read_string(row, "verifier").value_or("");
    record.task = read_string(row, "task").value_or("");
  } catch (const RecordError&) {
    throw;
  } catch (const UserError& error) {
    throw RecordError(source, record.id, error.what());
  }
  record.columns = row;
  record.validate();
  return record;
}

}  // namespace sgrpo::data
