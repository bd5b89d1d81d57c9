// The fields of a struct -> YAML, JSON, differences, help.
#include <algorithm>
#include <cmath>

#include "config/describe.h"
#include "config/scalar.h"
#include "sgrpo/config/binder.h"
#include "sgrpo/core/text.h"

namespace sgrpo::config {
namespace {

using core::str;

std::string name_of(const bool&) { return "true or false"; }
std::string name_of(const int64_t&) { return "integer"; }
std::string name_of(const double&) { return "number"; }
std::string name_of(const std::string&) { return "text"; }
std::string name_of(const core::Json&) { return "free form"; }
std::string name_of(const std::map<std::string, std::string>&) { return "map of texts"; }
std::string name_of(const NamedMember& named) {
  if (named.number != nullptr) return "number or name";
  return named.is_list ? "list of names" : named.is_optional ? "name or null" : "name";
}
template <class T>
std::string name_of(const std::optional<T>&) {
  return name_of(T{}) + " or null";
}
template <class T>
std::string name_of(const std::vector<T>&) {
  return "list of " + name_of(T{}) + "s";
}

core::Json json_of(bool value) { return value; }
core::Json json_of(int64_t value) { return value; }
core::Json json_of(double value) { return value; }
core::Json json_of(const std::string& value) { return value; }
core::Json json_of(const core::Json& value) { return value; }
core::Json json_of(const std::map<std::string, std::string>& value) {
  core::Json result = core::Json::object();
  for (const auto& [key, text] : value) result[key] = text;
  return result;
}
template <class T>
core::Json json_of(const std::optional<T>& value) {
  return value ? json_of(*value) : core::Json(nullptr);
}
template <class T>
core::Json json_of(const std::vector<T>& value) {
  core::Json result = core::Json::array();
  for (const T& item : value) result.push_back(json_of(item));
  return result;
}

core::Json json_of(const NamedMember& named) {
  if (named.number != nullptr && named.number(named.member))
    return json_of(*named.number(named.member));
  const std::vector<std::string> texts = named.texts(named.member);
  if (named.is_list) return json_of(texts);
  return texts.empty() ? core::Json(nullptr) : core::Json(texts[0]);
}

core::Json json_of(const Field& field) {
  const auto* text = std::get_if<std::string*>(&field.member);
  if (text != nullptr && field.info.required && (*text)->empty()) return nullptr;  // not given
  return std::visit([](const auto& member) { return json_of(target(member)); }, field.member);
}

/// The comment behind a line of the annotated form, or "".
std::string remark(const Field& field, const Field& fresh) {
  if (field.info.required) return value_text(field) == "null" ? "  # REQUIRED" : "";
  const std::string standard = value_text(fresh);
  return value_text(field) == standard ? "" : "  # default " + standard;
}

}  // namespace

std::string type_name(const Field& field) {
  return std::visit([](const auto& member) { return name_of(target(member)); }, field.member);
}

std::vector<std::string> choices_of(const Field& field) {
  const auto* named = std::get_if<NamedMember>(&field.member);
  return named != nullptr ? named->known() : field.info.choices;
}

namespace {

/// "1..65536", ">= 0" or "" for numbers without bounds.
std::string bounds_text(const FieldInfo& info) {
  if (std::isinf(info.low) && std::isinf(info.high)) return "";
  if (std::isinf(info.high)) return ">= " + write_double(info.low);
  if (std::isinf(info.low)) return "<= " + write_double(info.high);
  return write_double(info.low) + ".." + write_double(info.high);
}

}  // namespace

std::string number_or(const Field& field) {
  const auto* named = std::get_if<NamedMember>(&field.member);
  if (named == nullptr || named->number == nullptr) return "";
  const std::string bounds = bounds_text(field.info);
  return (bounds.empty() ? "a number" : bounds) + " | ";
}

std::string range_text(const Field& field) {
  const FieldInfo& info = field.info;
  if (const auto choices = choices_of(field); !choices.empty()) {
    const std::string more =
        *info.more_names == '\0' ? "" : str(" | a name under ", info.more_names);
    return number_or(field) + core::join(choices, " | ") + more;
  }
  return bounds_text(info);
}

std::string value_text(const Field& field) {
  // A double reads back from "1" as well; free-form members keep "1.0".
  if (const auto* number = std::get_if<double*>(&field.member)) return write_double(**number);
  if (const auto* number = std::get_if<std::optional<double>*>(&field.member)) {
    return (*number)->has_value() ? write_double(***number) : "null";
  }
  if (const auto* named = std::get_if<NamedMember>(&field.member); named && named->number) {
    if (const auto number = named->number(named->member)) return write_double(*number);
  }
  return write_json(json_of(field));
}

std::string print_yaml(const std::vector<Field>& fields, const std::vector<Field>* defaults) {
  std::string result;
  std::vector<std::string> open;  // the sections around the line before
  for (size_t i = 0; i < fields.size(); ++i) {
    const Field& field = fields[i];
    std::vector<std::string> sections = core::split(field.path, '.');
    const std::string key = sections.back();
    sections.pop_back();
    size_t depth = 0;
    while (depth < std::min(open.size(), sections.size()) && open[depth] == sections[depth])
      ++depth;
    for (; depth < sections.size(); ++depth)
      result += str(std::string(2 * depth, ' '), sections[depth], ":\n");
    result += str(std::string(2 * depth, ' '), key, ": ", value_text(field));
    open = std::move(sections);
    if (defaults != nullptr) result += remark(field, (*defaults)[i]);
    result += "\n";
  }
  return result;
}

core::Json print_json(const std::vector<Field>& fields) {
  core::Json result = core::Json::object();
  for (const Field& field : fields) {
    core::Json* place = &result;
    for (const std::string& part : core::split(field.path, '.')) place = &(*place)[part];
    *place = json_of(field);
  }
  return result;
}

std::vector<std::string> list_differences(const std::vector<Field>& fields,
                                          const std::vector<Field>& defaults) {
  std::vector<std::string> lines;
  for (size_t i = 0; i < fields.size(); ++i) {
    const std::string value = value_text(fields[i]), standard = value_text(defaults[i]);
    if (value == standard) continue;
    lines.push_back(str(fields[i].path,
                        ": ",
                        value,
                        " (",
                        fields[i].info.required ? "required" : "default " + standard,
                        ")"));
  }
  return lines;
}

std::vector<FieldLine> describe_fields(const std::vector<Field>& fields) {
  std::vector<FieldLine> lines;
  for (const Field& field : fields) {
    lines.push_back({field.path,
                     type_name(field),
                     field.info.required ? "REQUIRED" : value_text(field),
                     range_text(field),
                     field.info.unit,
                     field.info.help,
                     std::holds_alternative<bool*>(field.member),
                     field.info.required});
  }
  return lines;
}

}  // namespace sgrpo::config
