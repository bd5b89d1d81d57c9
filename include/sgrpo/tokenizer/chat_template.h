// Messages -> prompt text. ChatML is recognised by its markers; templates are never executed.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "sgrpo/types/prompt_record.h"

namespace sgrpo::tokenizer {

/// How a folder's chat template renders a conversation.
class ChatTemplate {
 public:
  /// Finds the template where transformers does: chat_template.jinja, chat_template.json,
  /// tokenizer_config.json. No template at all: ChatML without a default system turn. Throws
  /// core::UserError naming the file for a template that is not ChatML.
  static ChatTemplate load(const std::filesystem::path& folder);
  /// From the template's text; `where` names it in messages.
  static ChatTemplate from_text(const std::string& text, const std::string& where);

  /// The prompt text; an image part is `<|vision_start|><|image_pad|><|vision_end|>`.
  /// Throws core::UserError where the template cannot render the messages (as the template itself
  /// would raise, or because it needs its tool or thinking branches).
  std::string render(const std::vector<Message>& messages, bool add_generation_prompt) const;

 private:
  bool default_system_ =
      false;  // a conversation without a system turn gets "You are a helpful assistant."
  std::string default_system_text_;
  enum class Style { kPlain, kRoleBranches } style_ = Style::kPlain;
  bool strips_thinking_ = false;  // Qwen3: reasoning of earlier assistant turns is dropped
};

}  // namespace sgrpo::tokenizer
