#include "template_files.h"

#include "byte_level.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"

namespace sgrpo::tokenizer {
namespace {

constexpr uint64_t kMaxTemplateBytes = uint64_t{4} << 20;

// The template under `chat_template` of a JSON file: a text, a list of {name, template}, or an
// object of texts by name. The one called "default" counts.
std::optional<FoundTemplate> template_in(const core::Json& file, const std::string& where) {
  const core::Json* value = core::find(file, "chat_template");
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return FoundTemplate{value->get<std::string>(), where};
  if (value->is_object() && core::find(*value, "default") != nullptr) {
    return FoundTemplate{core::get_string(*value, "default", where + ": chat_template"), where};
  }
  if (value->is_array()) {
    for (const core::Json& entry : *value) {
      if (core::get_string(entry, "name", where) == "default") {
        return FoundTemplate{core::get_string(entry, "template", where), where};
      }
    }
  }
  throw core::UserError(core::str(
      where, ": chat_template is no text and has no entry named 'default', expected one of them"));
}

using Folder = std::filesystem::path;

std::optional<FoundTemplate> in_jinja(const Folder& folder) {
  const Folder path = folder / "chat_template.jinja";
  if (!std::filesystem::exists(path)) return std::nullopt;
  return FoundTemplate{core::read_file(path, kMaxTemplateBytes), path.string()};
}

std::optional<FoundTemplate> in_json(const Folder& folder, const char* name) {
  const Folder path = folder / name;
  if (!std::filesystem::exists(path)) return std::nullopt;
  const core::Json file = core::parse_json(core::read_file(path, kMaxTemplateBytes), path.string());
  if (!file.is_object()) {
    throw core::UserError(path.string() + ": expected an object with key 'chat_template'");
  }
  return template_in(file, path.string());
}

std::optional<FoundTemplate> in_tokenizer_config(const Folder& folder) {
  return template_in(read_tokenizer_config(folder), (folder / "tokenizer_config.json").string());
}

}  // namespace

std::optional<FoundTemplate> find_template(const Folder& folder) {
  const auto has = [&](const char* name) { return std::filesystem::exists(folder / name); };
  std::optional<FoundTemplate> found;
  if (has("processor_config.json") || has("preprocessor_config.json")) {
    found = in_json(folder, "processor_config.json");
    if (!found) found = in_json(folder, "chat_template.json");
  }
  if (!found) found = in_jinja(folder);
  if (!found) found = in_tokenizer_config(folder);
  if (!found) found = in_json(folder, "chat_template.json");
  return found;
}

}  // namespace sgrpo::tokenizer
