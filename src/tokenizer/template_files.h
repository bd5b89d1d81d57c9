// Where a folder keeps its chat template.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace sgrpo::tokenizer {

struct FoundTemplate {
  std::string text, where;
};

// The template that transformers would use: its processors (folders that read images) look into
// processor_config.json, chat_template.json and chat_template.jinja, its tokenizers into
// chat_template.jinja and tokenizer_config.json. Where the one finds nothing, the other's places
// follow. Throws core::UserError naming the file.
std::optional<FoundTemplate> find_template(const std::filesystem::path& folder);

}  // namespace sgrpo::tokenizer
