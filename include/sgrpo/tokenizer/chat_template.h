// Messages -> prompt text. ChatML is recognised by its markers; templates are never executed.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sgrpo/types/prompt_record.h"

namespace sgrpo::tokenizer {

/// How a folder's chat template renders a conversation.
class ChatTemplate {
 public:
  /// Finds the template where transformers does: chat_template.jinja, then tokenizer_config.json;
  /// where there is an image processor, processor_config.json and chat_template.json come first.
  /// No template at all: ChatML without a default system turn, and a warning. Throws
  /// core::UserError naming the file for a template that is not ChatML.
  static ChatTemplate load(const std::filesystem::path& folder);
  /// From the template's text; `where` names it in messages. Throws core::UserError, too, for a
  /// template that writes other text than the turns of ChatML: it says which.
  static ChatTemplate from_text(const std::string& text, const std::string& where);

  /// The prompt text; an image part is `<|vision_start|><|image_pad|><|vision_end|>`.
  /// Throws core::UserError where the template cannot render the messages (as the template itself
  /// would raise, or because it needs its tool or thinking branches).
  std::string render(const std::vector<Message>& messages, bool add_generation_prompt) const;

 private:
  /// What the template does with content that is not a single text.
  enum class Content {
    kTextOnly,   // concatenates strings: anything else is an error (Qwen2, Qwen2.5)
    kTextElse,   // a list counts as the empty string (Qwen3)
    kTexts,      // writes the texts of a list, has no place for images
    kImages,     // writes texts and images of every turn (Qwen2-VL, Qwen2.5-VL)
    kUserImages  // images in user turns only, a system turn in first place only (Qwen3-VL)
  };

  std::string content_of(const Message& message, size_t index) const;
  std::string thinking_turn(const std::string& content, bool after_query, bool last) const;
  void check(const Message& message, size_t index) const;
  void compare_with(const std::string& text) const;

  std::string where_;
  std::optional<std::string> default_system_;  // for a conversation without a system turn
  bool always_writes_default_ = false;         // also before a system turn of the messages
  std::string generation_prompt_ = "<|im_start|>assistant\n";
  Content content_ = Content::kImages;
  bool strips_thinking_ = false;  // Qwen3: reasoning of earlier assistant turns is dropped
  bool thinks_as_qwen3_ = true;   // false: assistant turns cannot be rendered
};

}  // namespace sgrpo::tokenizer
