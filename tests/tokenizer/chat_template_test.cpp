#include "sgrpo/tokenizer/chat_template.h"

#include <array>
#include <map>

#include "golden.h"

namespace sgrpo::tokenizer {
namespace {

std::vector<Message> messages_of(const core::Json& rows) {
  std::vector<Message> messages;
  for (const core::Json& row : rows) {
    Message message{row["role"].get<std::string>(), {}};
    if (row["content"].is_string()) {
      message.content.push_back({ContentPart::Kind::kText, row["content"].get<std::string>()});
    } else {
      for (const core::Json& part : row["content"]) {
        const bool image = part["type"] == "image";
        message.content.push_back({image ? ContentPart::Kind::kImage : ContentPart::Kind::kText,
                                   image ? "" : part["text"].get<std::string>()});
      }
    }
    messages.push_back(message);
  }
  return messages;
}

std::vector<Message> ask(const std::string& text) {
  return {{"user", {{ContentPart::Kind::kText, text}}}};
}

void expect_row(const ChatTemplate& chat, const core::Json& row, bool generation) {
  const auto messages = messages_of(row["messages"]);
  if (row.contains("error")) {
    EXPECT_THROW(chat.render(messages, generation), core::UserError) << core::dump_ascii(row);
  } else {
    EXPECT_EQ(chat.render(messages, generation), row["text"].get<std::string>())
        << core::dump_ascii(row);
  }
}

TEST(ChatTemplate, render_equals_transformers_for_every_template) {
  std::map<std::string, ChatTemplate> templates;
  std::map<std::string, int> rows;
  for (const core::Json& row : read_rows(kGolden / "chat_cases.jsonl")) {
    const std::string name = row["template"].get<std::string>();
    if (templates.count(name) == 0) {
      const auto path = kGolden / "chat_templates" / (name + ".jinja");
      templates.emplace(name, ChatTemplate::from_text(core::read_file(path), path.string()));
    }
    expect_row(templates.at(name), row, row["generation"].get<bool>());
    ++rows[name];
  }
  EXPECT_EQ(rows.size(), 8u);
  for (const auto& [name, count] : rows) EXPECT_EQ(count, 40) << name;
}

TEST(ChatTemplate, load_without_template_is_chatml_without_system_turn) {
  const TemporaryFolder folder;
  EXPECT_EQ(ChatTemplate::load(folder.path()).render(ask("Hi"), true),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplate, load_looks_where_transformers_looks_in_its_order) {
  const TemporaryFolder folder;
  const auto text_of = [](const char* name) {
    return core::read_file(kGolden / "chat_templates" / (std::string(name) + ".jinja"));
  };
  const auto system_of = [&] {
    const std::string text = ChatTemplate::load(folder.path()).render(ask("Hi"), false);
    return text.substr(0, text.find("<|im_end|>"));
  };
  const std::string qwen2_5 =
      "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.";
  const std::string qwen2_5_vl = "<|im_start|>system\nYou are a helpful assistant.";
  const std::string qwen3 = "<|im_start|>user\nHi";

  // A tokenizer by itself: chat_template.jinja, then tokenizer_config.json. A chat_template.json
  // is read where there is nothing else.
  folder.write("chat_template.json", core::Json{{"chat_template", text_of("qwen2_5_vl")}}.dump());
  EXPECT_EQ(system_of(), qwen2_5_vl);
  core::Json named = core::Json::array();
  named.push_back({{"name", "tool_use"}, {"template", "unused"}});
  named.push_back({{"name", "default"}, {"template", text_of("qwen2_5")}});
  folder.write("tokenizer_config.json", core::Json{{"chat_template", named}}.dump());
  EXPECT_EQ(system_of(), qwen2_5);
  folder.write("tokenizer_config.json", core::Json{{"chat_template", text_of("qwen2_5")}}.dump());
  EXPECT_EQ(system_of(), qwen2_5);
  folder.write("tokenizer_config.json",
               core::Json{{"chat_template", {{"default", text_of("qwen2_5")}}}}.dump());
  EXPECT_EQ(system_of(), qwen2_5);
  folder.write("chat_template.jinja", text_of("qwen3"));
  EXPECT_EQ(system_of(), qwen3);

  // A processor: processor_config.json, chat_template.json, chat_template.jinja, and then where
  // tokenizers look.
  folder.write("preprocessor_config.json", "{}");
  EXPECT_EQ(system_of(), qwen2_5_vl);
  folder.write("processor_config.json", core::Json{{"chat_template", text_of("qwen2_5")}}.dump());
  EXPECT_EQ(system_of(), qwen2_5);
  folder.write("processor_config.json", "{}");
  std::filesystem::remove(folder.path() / "chat_template.json");
  EXPECT_EQ(system_of(), qwen3);
  std::filesystem::remove(folder.path() / "chat_template.jinja");
  EXPECT_EQ(system_of(), qwen2_5);
}

TEST(ChatTemplate, load_refuses_a_list_without_default) {
  const TemporaryFolder folder;
  folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "x"}]})");
  EXPECT_EQ(user_error([&] { ChatTemplate::load(folder.path()); }),
            folder.path().string() +
                "/tokenizer_config.json: chat_template is no text and has no entry named "
                "'default', expected one of them");
}

TEST(ChatTemplate, other_formats_are_refused_by_the_missing_marker) {
  EXPECT_EQ(user_error([] {
              ChatTemplate::from_text(
                  "{% for m in messages %}[INST] {{ m.content }} [/INST]"
                  "{% endfor %}",
                  "model/chat_template.jinja");
            }),
            "model/chat_template.jinja: the chat template is not ChatML: it has no "
            "'<|im_start|>'; it looks like Mistral's or Llama 2's; expected turns of "
            "<|im_start|>role .. <|im_end|>, as Qwen's");
}

TEST(ChatTemplate, templates_that_write_something_else_are_refused_by_what_they_write) {
  const std::string loop = "{% for m in messages %}<|im_start|>";
  const std::string turn = "{{ m.role }}\n{{ m.content }}<|im_end|>\n";
  const std::string end =
      "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  const std::string kept = "', expected a template that keeps text as it is";
  EXPECT_NO_THROW(ChatTemplate::from_text("{# about #}\n" + loop + turn + end, "t"));
  const std::vector<std::pair<std::string, std::string>> cases = {
      {loop + "{{m['role']}}\n{{m['content']|upper}}<|im_end|>\n" + end,
       "has the filter '| upper" + kept},
      {loop + "{{ m.role }}\n{{ m.content.replace('a', 'b') }}<|im_end|>\n" + end,
       "calls '.replace()" + kept},
      {"<|endoftext|>" + loop + turn + end,
       "begins with '<|endoftext|>{% for m in', expected a statement '{%': nothing is written "
       "before the turns"},
      {"{# x #}{{ bos_token }}" + loop + turn + end,
       "begins with '{{ bos_token }}{% for m ', expected a statement '{%': nothing is written "
       "before the turns"},
      {"{% for m in messages[1:] %}<|im_start|>" + turn + end,
       "writes the turns of messages[1:], expected all of them"},
      {loop + "{{ m.role }} \n{{ m.content }}<|im_end|>\n" + end,
       "writes ' }} \\n{{ m.co' after a role, expected a line break and nothing else"},
      {loop + "{{ m.role }}: {{ m.content }}<|im_end|>\n" + end,
       "writes ' }}: {{ m.co' after a role, expected a line break and nothing else"}};
  for (const auto& [text, what] : cases)
    EXPECT_EQ(user_error([&] { ChatTemplate::from_text(text, "t"); }),
              "t: the chat template " + what);
}

TEST(ChatTemplate, system_turn_without_a_condition_stands_before_every_conversation) {
  const auto chat = ChatTemplate::from_text(
      "{% set x = 1 %}<|im_start|>system\nBe brief.<|im_end|>\n{% for m in messages %}"
      "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
      "t");
  EXPECT_EQ(chat.render({{"system", {{ContentPart::Kind::kText, "Now."}}}}, false),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>system\nNow.<|im_end|>\n");
}

TEST(ChatTemplate, trimming_templates_are_refused) {
  const std::string text =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n"
      "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  EXPECT_EQ(
      user_error([&] { ChatTemplate::from_text(text, "t"); }),
      "t: the chat template has the filter '| trim', expected a template that keeps text as it "
      "is");
}

TEST(ChatTemplate, missing_generation_prompt_is_refused) {
  EXPECT_EQ(user_error([] {
              ChatTemplate::from_text(
                  "{% for m in messages %}<|im_start|>{{ m.role }}\n"
                  "{{ m.content }}<|im_end|>\n{% endfor %}",
                  "t");
            }),
            "t: the chat template has no generation prompt '<|im_start|>assistant' behind 'if "
            "add_generation_prompt', expected ChatML");
}

TEST(ChatTemplate, generation_prompt_that_opens_a_thought_is_kept) {
  const std::string text =
      "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
      "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}"
      "{% endif %}";
  EXPECT_EQ(ChatTemplate::from_text(text, "t").render(ask("Hi"), true),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n");
}

/// A plain template with `piece` put in front of the first `place`.
std::string with_piece(const std::string& place, const std::string& piece) {
  std::string text = core::read_file(kGolden / "chat_templates" / "simple.jinja");
  const size_t at = text.find(place);
  EXPECT_NE(at, std::string::npos) << place;
  return text.insert(at, piece);
}

TEST(ChatTemplate, other_text_anywhere_in_a_conversation_is_refused_by_what_is_written) {
  const std::string image = "<|vision_start|>";
  const std::vector<std::array<std::string, 3>> cases = {
      {"{% if m.content is string %}",
       "{% if m.role == 'user' %}Q: {% endif %}",
       "user\\nQ: (content)"},
      {"<|im_end|>", "{% if m.role == 'user' %}\nThink.{% endif %}", "(content)Think.<|im_end|>"},
      {"<|im_end|>", "{% if not loop.first %}{{ '!' }}{% endif %}", "(content)!<|im_end|>"},
      {"<|im_end|>", "{{ ' ' }}", "(content) <|im_end|>"},
      {image, "<img>", "(text)<img><|vision_start|>"},
      {"{{ c.text }}", " ", "user\\n (text)"},
      {"{% endfor %}{% endif %}", "{% if not loop.last %} {% endif %}", "(text) (more)"},
      {"{% if add_generation_prompt %}", "<|endoftext|>", "<|im_end|>\\n<|endoftext|>"},
      {"{% if c.type", "{% if c.type == 'text' %}{{ '-' }}{% endif %}", "user\\n-(text)"}};
  for (const auto& [place, piece, written] : cases) {
    const std::string error =
        user_error([&] { ChatTemplate::from_text(with_piece(place, piece), "t"); });
    EXPECT_EQ(error.find("t: the chat template writes '"), 0u) << piece << ": " << error;
    EXPECT_NE(error.find(written), std::string::npos) << error;
    EXPECT_LT(error.find(written), error.find("', expected ")) << error;
  }
  const auto refusal = [&](const std::string& place, const std::string& piece) {
    return user_error([&] { ChatTemplate::from_text(with_piece(place, piece), "t"); });
  };
  EXPECT_EQ(
      refusal(image, "{% set n = 1 + 1 %}Picture {{ n }}: "),
      "t: the chat template writes '{{ n }}' into a prompt, expected literal texts, roles and "
      "contents");
  EXPECT_EQ(refusal("<|im_end|>", "{{ eos_token }}"),
            "t: the chat template writes '{{ eos_token }}' into a prompt, expected literal texts, "
            "roles and contents");
  EXPECT_EQ(refusal("{% for m", "{% macro f() %}{% endmacro %}"),
            "t: the chat template has the statement 'macro', expected if, for and set");
  EXPECT_EQ(refusal("{% for c in m.content %}",
                    "{% for c in m.content %}{% if c.type == 'image' %}"
                    "<|vision_start|><|image_pad|><|vision_end|>{% endif %}{% endfor %}")
                .find("t: the chat template writes '"),
            0u);
}

TEST(ChatTemplate, what_rows_never_need_may_stand_in_a_template) {
  for (const auto& [place, piece] : std::vector<std::pair<std::string, std::string>>{
           {"<|vision_start|>", "{% if add_vision_id %}Picture {{ n.value }}: {% endif %}"},
           {"{% for m",
            "{%- if tools and tools is not none %}# Tools{% for t in tools %}{{ t }}{% endfor %}{% "
            "endif -%}\n"},
           {"<|im_end|>",
            "{% if m.tool_calls is defined and m.tool_calls %}{{ m.tool_calls | tojson }}{% endif "
            "%}"},
           {"<|im_end|>", "{% if m['role'] == 'tool' or enable_thinking is true %}x{% endif %}"}}) {
    const ChatTemplate chat = ChatTemplate::from_text(with_piece(place, piece), "t");
    EXPECT_EQ(chat.render(ask("Hi"), true),
              "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
        << piece;
  }
}

TEST(ChatTemplate, thoughts_treated_otherwise_than_by_qwen3_refuse_assistant_turns_alone) {
  std::string text = core::read_file(kGolden / "chat_templates" / "qwen3.jinja");
  const std::vector<Message> history = {{"user", {{ContentPart::Kind::kText, "a"}}},
                                        {"assistant", {{ContentPart::Kind::kText, "b"}}},
                                        {"user", {{ContentPart::Kind::kText, "c"}}}};
  std::vector<Message> thought = history;
  thought[1].content[0].text = "<think>\nhm\n</think>\n\nb";
  EXPECT_EQ(ChatTemplate::from_text(text, "t").render(thought, true),
            ChatTemplate::from_text(text, "t").render(history, true));
  std::string older = text;
  const std::string reads = "'</think>' in content";
  older.replace(older.find(reads), reads.size(), "'</think>' in message.content");
  EXPECT_EQ(ChatTemplate::from_text(older, "t").render(thought, true),
            ChatTemplate::from_text(text, "t").render(history, true));
  const std::string condition = "loop.index0 > ns.last_query_index";
  text.replace(text.find(condition), condition.size(), "true");
  const ChatTemplate chat = ChatTemplate::from_text(text, "t");
  EXPECT_NO_THROW(chat.render(ask("Hi"), true));
  EXPECT_EQ(user_error([&] { chat.render(history, true); }),
            "t: the chat template cannot render message 1 (assistant): the template treats the "
            "thoughts of assistant turns otherwise than Qwen3's");
}

TEST(ChatTemplate, image_in_a_text_template_names_the_message) {
  const auto path = kGolden / "chat_templates" / "qwen2_5.jinja";
  const auto chat = ChatTemplate::from_text(core::read_file(path), "t");
  EXPECT_EQ(user_error([&] {
              chat.render({{"user", {{ContentPart::Kind::kImage, ""}}}}, true);
            }),
            "t: the chat template cannot render message 0 (user): its content must be one text, "
            "without images");
}

TEST(ChatTemplate, unknown_role_is_refused) {
  const auto path = kGolden / "chat_templates" / "qwen2_vl.jinja";
  const auto chat = ChatTemplate::from_text(core::read_file(path), "t");
  EXPECT_EQ(user_error([&] {
              chat.render({{"tool", {{ContentPart::Kind::kText, "x"}}}}, true);
            }),
            "t: the chat template cannot render message 0 (tool): expected role system, user or "
            "assistant");
  EXPECT_EQ(user_error([&] { chat.render({}, true); }),
            "t: the chat template cannot render an empty conversation");
}

}  // namespace
}  // namespace sgrpo::tokenizer
