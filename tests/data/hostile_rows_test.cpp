// Rows as scripts and editors break them: each is named by file, line and a reason, and the good
// rows around it stay.
#include "data_files.h"
#include "sgrpo/data/rows.h"

namespace sgrpo::data {
namespace {

using std::string_literals::operator""s;

/// Bytes of one line (or of several) between two good rows, and how the reason of the bad one
/// begins; "" = it is read.
struct Hostile {
  const char* name;
  std::string bytes;
  std::string reason;
};

std::string nested(size_t depth) {
  return R"({"prompt": "p", "extra": )" + std::string(depth, '[') + std::string(depth, ']') + "}";
}

const std::vector<Hostile>& table() {
  static const std::string kJson = "not valid JSON: ";
  static const std::vector<Hostile> rows = {
      // bytes
      {"nul_in_text", "{\"prompt\": \"a\0b\"}"s, kJson},
      {"nul_alone", "\0"s, kJson},
      {"latin1",
       "{\"prompt\": \"caf\xE9\"}",
       "byte 16 of the line is not UTF-8; save the file as UTF-8"},
      {"overlong_utf8", "{\"prompt\": \"\xC0\xAF\"}", "byte 13 of the line is not UTF-8"},
      {"surrogate_utf8", "{\"prompt\": \"\xED\xA0\x80\"}", "byte 13 of the line is not UTF-8"},
      {"cut_utf8", "{\"prompt\": \"\xF0\x9F\x98\"}", "byte 13 of the line is not UTF-8"},
      {"second_bom", "\xEF\xBB\xBF{\"prompt\": \"a\"}", ""},
      {"lone_surrogate_escape", R"({"prompt": "\ud83d"})", kJson},
      {"raw_tab_in_text", "{\"prompt\": \"a\tb\"}", kJson},
      {"form_feed_around", "\f{\"prompt\": \"a\"}\v", ""},
      {"carriage_returns", "{\"prompt\": \"a\"}\r", ""},
      {"blank_lines", " \r\n\t\n", ""},
      {"huge_line", "{\"prompt\": \"" + std::string(1 << 20, 'x') + "\"}", ""},
      // JSON
      {"trailing_comma", R"({"prompt": "a",})", kJson},
      {"single_quotes", "{'prompt': 'a'}", kJson},
      {"unquoted_key", R"({prompt: "a"})", kJson},
      {"python_none", R"({"prompt": "a", "task": None})", kJson},
      {"nan_unread", R"({"prompt": "a", "x": [NaN, -Infinity, 1e999]})", ""},
      {"nan_as_key", R"({"prompt": "a", NaN: 1})", kJson},
      {"nan_as_text", R"({"prompt": "a", "task": NaN})", "'task' is NaN, expected a string"},
      {"comment", R"({"prompt": "a"} // why)", kJson},
      {"two_rows_in_a_line", R"({"prompt": "a"}{"prompt": "b"})", kJson},
      {"cut_row", R"({"prompt": "a)", kJson},
      {"row_over_two_lines", "{\"prompt\":\n\"a\"}", kJson},
      {"duplicate_key",
       R"({"prompt": "a", "prompt": "b"})",
       "key 'prompt' appears twice in one object"},
      {"deep_list", nested(1000), "JSON is nested deeper than 64 levels"},
      {"very_deep_list", nested(100000), "JSON is nested deeper than 64 levels"},
      {"as_deep_as_allowed", nested(60), ""},
      // rows of another kind
      {"list", R"(["prompt", "a"])", "the row is a list, expected an object"},
      {"text", R"("prompt")", "the row is a string, expected an object"},
      {"number", "17", "the row is a number, expected an object"},
      {"null", "null", "the row is null, expected an object"},
      {"empty_object",
       "{}",
       "the row has no 'prompt' (or 'messages', 'problem', 'conversations'); its columns are none"},
      {"csv", "id,prompt,answer", kJson},
      // columns
      {"prompt_number", R"({"prompt": 1})", "'prompt' is a number, expected a string or a list"},
      {"prompt_object", R"({"prompt": {"role": "user"}})", "'prompt' is an object, expected"},
      {"prompt_null", R"({"prompt": null})", "'prompt' is null, expected text or messages"},
      {"prompt_empty", R"({"prompt": ""})", "'prompt' is empty"},
      {"messages_empty", R"({"messages": []})", "'messages' is an empty list of messages"},
      {"messages_nested",
       R"({"messages": [[{"role": "user", "content": "a"}]]})",
       "message 1 is a list, expected"},
      {"role_missing", R"({"messages": [{"content": "a"}]})", "message 1 has no 'role'"},
      {"role_unknown",
       R"({"messages": [{"role": "human", "content": "a"}]})",
       "message 1 has role 'human', expected system"},
      {"content_null",
       R"({"messages": [{"role": "user", "content": null}]})",
       "message 1: 'content' is missing"},
      {"content_number",
       R"({"messages": [{"role": "user", "content": 5}]})",
       "message 1: 'content' is a number, expected"},
      {"part_text",
       R"({"messages": [{"role": "user", "content": ["a"]}]})",
       "a content part is a string, expected"},
      {"part_text_number",
       R"({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]})",
       "a text part's 'text' is a number, expected a string"},
      {"part_image_number",
       R"({"messages": [{"role": "user", "content": [{"type": "image", "image": 5}]}]})",
       "an image part holds a number, expected a path"},
      {"images_text",
       R"({"prompt": "a", "images": "x.png"})",
       "'images' is a string, expected a list of paths"},
      {"images_object",
       R"({"prompt": "a", "images": {"0": "x.png"}})",
       "'images' is an object, expected a list of paths"},
      {"images_bytes",
       R"({"prompt": "a", "images": [{"bytes": "iVBOR", "path": null}]})",
       "the row's image 1 is no base64 text (5 characters)"},
      {"images_null_entry",
       R"({"prompt": "a", "images": [null]})",
       "'images' holds null, expected a path"},
      {"image_list",
       R"({"prompt": "a", "image": ["x.png"]})",
       "'image' is a list, expected one path"},
      {"image_empty", R"({"prompt": "a", "image": ""})", "an image path is empty; name a file"},
      {"image_nul",
       R"({"prompt": "a", "image": "x\u0000.png"})",
       "an image path contains a NUL character"},
      {"image_url",
       R"({"prompt": "a", "image": "https://x.org/a.png"})",
       "image 'https://x.org/a.png' is a URL, expected a path; download it first"},
      {"marker_without_image",
       R"({"prompt": "<image> a"})",
       "the prompt has 1 image part and 'images' has 0 paths"},
      {"image_pad_in_text",
       R"({"prompt": "<|image_pad|>"})",
       "the prompt's text contains the placeholder token <|image_pad|>"},
      {"id_object",
       R"({"prompt": "a", "id": {}})",
       "'id' is an object, expected a string or an integer"},
      {"id_empty",
       R"({"prompt": "a", "id": ""})",
       "'id' is empty, expected a string or an integer"},
      {"id_fraction",
       R"({"prompt": "a", "id": 1.5})",
       "'id' is a number, expected a string or an integer"},
      {"ground_truth_bool",
       R"({"prompt": "a", "ground_truth": true})",
       "'ground_truth' is true or false, expected a string"},
      {"answer_object",
       R"({"prompt": "a", "answer": {"x": 1}})",
       "'answer' is an object, expected a string"},
      {"verifier_list",
       R"({"prompt": "a", "verifier": ["exact"]})",
       "'verifier' is a list, expected a string"},
      {"task_number", R"({"prompt": "a", "task": 3})", "'task' is a number, expected a string"},
      {"completion_number",
       R"({"prompt": "a", "completion": 3})",
       "'completion' is a number, expected a string"},
      {"completion_two_turns",
       R"({"prompt": "a", "completion": [{"role": "user", "content": "b"}]})",
       "'completion' is a list, expected a string or one assistant message"},
  };
  return rows;
}

class HostileRows : public DataFiles {};

TEST_F(HostileRows, each_is_named_by_file_and_line_and_good_rows_stay) {
  for (const Hostile& hostile : table()) {
    SCOPED_TRACE(hostile.name);
    const auto rows =
        read_rows(write("rows.jsonl",
                        "{\"prompt\": \"first\"}\n" + hostile.bytes + "\n{\"prompt\": \"last\"}\n"),
                  {});
    ASSERT_GE(rows.size(), 2u);
    EXPECT_TRUE(std::holds_alternative<PromptRecord>(rows.front()));
    EXPECT_TRUE(std::holds_alternative<PromptRecord>(rows.back()));
    for (size_t i = 1; i + 1 < rows.size(); ++i) {
      const auto* bad = std::get_if<RecordError>(&rows[i]);
      if (hostile.reason.empty()) {
        EXPECT_EQ(bad, nullptr) << bad->what();
        continue;
      }
      EXPECT_NE(bad, nullptr) << "the row was read";
      if (bad == nullptr) continue;
      const std::string text = shorten(bad->what());
      EXPECT_TRUE(core::starts_with(text, core::str("rows.jsonl:", i + 1, " (id '"))) << text;
      EXPECT_TRUE(core::starts_with(bad->reason(), hostile.reason)) << text;
      EXPECT_LT(text.size(), 400u) << text;
      EXPECT_TRUE(core::is_valid_utf8(text)) << text;
      EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    }
  }
}

TEST_F(HostileRows, file_without_a_last_line_feed_is_read_to_its_end) {
  EXPECT_EQ(read_rows(write("rows.jsonl", "{\"prompt\": \"a\"}\r\n{\"prompt\": \"b\"}"), {}).size(),
            2u);
}

}  // namespace
}  // namespace sgrpo::data
