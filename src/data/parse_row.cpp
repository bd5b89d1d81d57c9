// One JSON object -> PromptRecord.
#include <algorithm>
#include <cmath>

#include "data/describe.h"
#include "data/image_sources.h"
#include "data/messages.h"
#include "sgrpo/core/text.h"
#include "sgrpo/data/rows.h"

namespace sgrpo::data {
namespace {

using core::Json;
using core::str;
using core::UserError;

/// A column under its own name or an alias.
struct Column {
  std::string name;
  const Json* value = nullptr;
};

/// Those that are present and not null, the row's own name first.
std::vector<Column> find_columns(const Json& row, std::initializer_list<const char*> names) {
  std::vector<Column> columns;
  for (const char* name : names) {
    if (const Json* value = core::find(row, name); value != nullptr)
      columns.push_back({name, value});
  }
  return columns;
}

[[noreturn]] void refuse_both(const Column& one, const Column& other) {
  throw UserError(str("the row has '",
                      one.name,
                      "' and '",
                      other.name,
                      "', which differ; remove the one that is not meant"));
}

std::string read_id(const Json& row, const RowSource& source) {
  const Json* id = core::find(row, "id");
  if (id == nullptr) return std::to_string(source.line);
  if (id->is_string() && !id->get<std::string>().empty()) return id->get<std::string>();
  const auto number = core::number_value(*id);
  if (number && *number == std::floor(*number) && std::isfinite(*number))
    return *core::number_text(*id);
  if (number && core::number_text(*id)->find_first_not_of("-0123456789") == std::string::npos)
    return *core::number_text(*id);  // more digits than any double holds
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

/// Numbers are common answers: they stand as the file has them, digit by digit.
std::string ground_truth_text(const Column& column) {
  if (column.value->is_string()) return column.value->get<std::string>();
  const auto number = core::number_text(*column.value);
  if (number && kind_of(*column.value) == "a number") return *number;
  throw UserError(str("'",
                      column.name,
                      "' is ",
                      kind_of(*column.value),
                      ", expected a string; write structured answers as JSON text in a string"));
}

std::optional<std::string> read_ground_truth(const Json& row) {
  const auto columns = find_columns(row, {"ground_truth", "solution", "answer"});
  if (columns.empty()) return std::nullopt;
  std::string text = ground_truth_text(columns.front());
  for (const Column& other : columns)
    if (ground_truth_text(other) != text) refuse_both(columns.front(), other);
  return text;
}

/// A string, or TRL's conversational form: a list with one assistant message.
std::optional<std::string> read_completion(const Json& row) {
  const Json* value = core::find(row, "completion");
  if (value == nullptr || !value->is_array()) return read_string(row, "completion");
  if (value->size() != 1)
    throw UserError("'completion' is a list, expected a string or one assistant message with text");
  return parse_answer(value->front(), 1, "'completion'");
}

ImageEntry read_listed_image(const Json& value, const std::string& column) {
  ImageEntry entry = read_image_entry(value, str("'", column, "'"));
  if (!entry.text) throw UserError(str("'", column, "' holds an object without an image"));
  return entry;
}

/// Entries of `images`, or the one of `image`.
std::vector<ImageEntry> read_images(const Json& row) {
  const auto columns = find_columns(row, {"images", "image"});
  std::vector<std::vector<ImageEntry>> lists;
  for (const Column& column : columns) {
    const bool is_list = column.name == "images";
    if (is_list != column.value->is_array())
      throw UserError(str("'",
                          column.name,
                          "' is ",
                          kind_of(*column.value),
                          is_list ? ", expected a list of paths (a single path goes under 'image')"
                                  : ", expected one path (several go under 'images')"));
    lists.emplace_back();
    if (!is_list) lists.back().push_back(read_listed_image(*column.value, column.name));
    for (size_t i = 0; is_list && i < column.value->size(); ++i)
      lists.back().push_back(read_listed_image((*column.value)[i], column.name));
  }
  if (lists.empty()) return {};
  if (lists.size() == 2 && lists[0] != lists[1]) refuse_both(columns[0], columns[1]);
  return lists.front();
}

/// Columns that would change the prompt and are not read.
void check_nothing_beside_prompt(const Json& row) {
  for (const char* name : {"videos", "audios"}) {
    if (holds_something(row, name))
      throw UserError(str("the row has '", name, "', which are not supported"));
  }
  for (const char* name : {"tools", "chat_template_kwargs"}) {
    if (holds_something(row, name))
      throw UserError(str(
          "the row has '", name, "', which the prompt is not rendered with; remove the column"));
  }
}

std::string count(size_t n, const std::string& noun) {
  return str(n, " ", noun, n == 1 ? "" : "s");
}

/// `<image>` in text parts stands for the row's pictures where nothing else does.
void place_markers(ParsedPrompt& prompt, size_t num_names) {
  const size_t marked = count_marked_images(prompt);
  if (marked == 0 || num_names == 0 || num_names == prompt.images.size()) return;
  const size_t in_all = prompt.images.size() + marked;
  if (num_names != in_all)
    throw UserError(str("the prompt has ",
                        count(in_all, "image part"),
                        ", <image> in texts included, and 'images' has ",
                        count(num_names, "path"),
                        "; give one path per part or <image>"));
  place_marked_images(prompt);
}

/// One entry per image part: from the part itself or from the row's list, never from both. A part's
/// own limits win.
void match_images(ParsedPrompt& prompt, const std::vector<ImageEntry>& names) {
  const auto has_own = [](const ImageEntry& entry) { return entry.text.has_value(); };
  const auto num_own =
      static_cast<size_t>(std::count_if(prompt.images.begin(), prompt.images.end(), has_own));
  if (num_own > 0) {
    if (num_own != prompt.images.size())
      throw UserError(str(num_own,
                          " of ",
                          prompt.images.size(),
                          " image parts name a path; name all, or list them under 'images'"));
    const auto is_same = [](const ImageEntry& part, const ImageEntry& name) {
      return part.text == name.text;
    };
    if (!names.empty() &&
        !std::equal(
            prompt.images.begin(), prompt.images.end(), names.begin(), names.end(), is_same))
      throw UserError("the image parts name other paths than 'images'; keep one of the two");
    return;
  }
  place_markers(prompt, names.size());
  if (prompt.images.empty() && !names.empty()) put_images_first(prompt, names.size());
  if (prompt.images.size() != names.size())
    throw UserError(str("the prompt has ",
                        count(prompt.images.size(), "image part"),
                        " and 'images' has ",
                        count(names.size(), "path"),
                        "; give one path per part or <image>"));
  for (size_t i = 0; i < names.size(); ++i) {
    const ImageLimits own = prompt.images[i].limits;
    prompt.images[i] = names[i];
    if (own != ImageLimits{}) prompt.images[i].limits = own;
  }
}

constexpr std::initializer_list<const char*> kPromptNames = {
    "prompt", "messages", "problem", "conversations"};

[[noreturn]] void missing_prompt(const Json& row) {
  std::vector<std::string> columns;
  std::string hint;
  const std::vector<std::string> names(kPromptNames.begin(), kPromptNames.end());
  for (const auto& [key, value] : row.items()) {
    if (std::find(names.begin(), names.end(), key) != names.end())
      throw UserError(str("'", key, "' is null, expected text or messages"));
    columns.push_back(core::printable(key, 40));
    const std::string meant = core::did_you_mean(key, names);
    if (hint.empty() && !meant.empty()) hint = str("; is '", columns.back(), "' one?", meant);
  }
  throw UserError(
      str("the row has no 'prompt' (or 'messages', 'problem', 'conversations'); its columns are ",
          columns.empty() ? "none" : core::join(columns, ", "),
          hint));
}

/// The prompt, from whichever column has it; several must say the same.
void read_prompt(const Json& row, const RowOptions& options, PromptRecord& record) {
  const auto columns = find_columns(row, kPromptNames);
  if (columns.empty()) {
    if (options.requires_prompt) missing_prompt(row);
    return;
  }
  check_nothing_beside_prompt(row);
  ParsedPrompt prompt = parse_prompt(*columns.front().value, columns.front().name);
  for (size_t i = 1; i < columns.size(); ++i)
    if (parse_prompt(*columns[i].value, columns[i].name) != prompt)
      refuse_both(columns.front(), columns[i]);
  match_images(prompt, read_images(row));
  for (const ImageEntry& entry : prompt.images) {
    const auto number = static_cast<int64_t>(record.images.size()) + 1;
    record.images.push_back(resolve_image(entry, number, record.source, options));
  }
  record.messages = std::move(prompt.messages);
  record.completion = std::move(prompt.answer);
  record.completion_was_last_turn = record.completion.has_value();
}

/// The completion of its own column, which may repeat the prompt's last turn.
void add_completion(const Json& row, PromptRecord& record) {
  std::optional<std::string> own = read_completion(row);
  if (!own) return;
  if (record.completion && record.completion != own)
    throw UserError(
        "the prompt ends with an assistant turn and 'completion' says something else; keep one");
  record.completion = std::move(own);
}

/// The template with every {ground_truth} replaced.
std::string filled(const std::string& text, const std::string& ground_truth) {
  const std::string word = "{ground_truth}";
  std::string result;
  size_t begin = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, begin)) {
    result += text.substr(begin, at - begin) + ground_truth;
    begin = at + word.size();
  }
  return result + text.substr(begin);
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
    if (options.ground_truth_template && record.ground_truth && !record.ground_truth_completion)
      record.ground_truth_completion = filled(*options.ground_truth_template, *record.ground_truth);
    add_completion(row, record);
    record.verifier = read_string(row, "verifier").value_or("");
    record.task = read_string(row, "task").value_or("");
  } catch (const RecordError&) {
    throw;
  } catch (const UserError& error) {
    throw RecordError(source, record.id, error.what());
  }
  record.columns = row;
  if (options.baselines && core::find(row, "baseline") == nullptr) {
    const auto known = options.baselines->find(record.id);
    if (known != options.baselines->end()) record.columns["baseline"] = known->second;
  }
  record.validate();
  return record;
}

}  // namespace sgrpo::data
