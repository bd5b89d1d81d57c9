// A mebibyte of rows, or one row of a mebibyte, takes a time that grows with it.
#include <map>

#include "sgrpo/data/rows.h"
#include "testing/growth.h"

namespace sgrpo::data {
namespace {

using testing::repeated;

/// A row whose prompt is `before`, then `unit` again and again, then `after`.
std::function<std::string(size_t)> prompt_of(const std::string& before,
                                             const std::string& unit,
                                             const std::string& after) {
  return [=](size_t size) {
    return "{\"prompt\": " + before + repeated(unit, size) + after + ", \"answer\": \"x\"}";
  };
}

const std::map<std::string, std::function<std::string(size_t)>> kTexts = {
    {"rows",
     [](size_t size) { return repeated("{\"prompt\": \"a\", \"answer\": \"b\"}\n", size); }},
    {"bad rows", [](size_t size) { return repeated(std::string(31, 'x') + "\n", size); }},
    {"lines", [](size_t size) { return std::string(size, '\n'); }},
    {"letters", [](size_t size) { return std::string(size, 'x'); }},
    {"columns",
     [](size_t size) {
       std::string text = "{\"prompt\": \"a\"";
       for (size_t i = 0; text.size() < size; ++i) text += ", \"k" + std::to_string(i) + "\": 1";
       return text + "}";
     }},
    {"text", prompt_of("\"", "x", "\"")},
    {"marks without pictures", prompt_of("\"", "<image>", "\"")},
    {"halves of marks", prompt_of("\"", "<image", "\"")},
    {"turns",
     prompt_of(
         "[", R"({"role": "user", "content": "a"},)", R"({"role": "user", "content": "b"}])")},
    {"parts",
     prompt_of(R"([{"role": "user", "content": [)",
               R"({"type": "text", "text": "a"},)",
               R"({"type": "text", "text": "b"}]}])")},
    {"pictures",
     prompt_of(R"([{"role": "user", "content": [)",
               R"({"type": "image"},)",
               R"({"type": "text", "text": "b"}]}])")},
    {"pictures with paths",
     prompt_of(R"([{"role": "user", "content": [)",
               R"({"type": "image", "image": "a.png"},)",
               R"({"type": "text", "text": "b"}]}])")},
    {"pictures of the row",
     [](size_t size) {
       return "{\"prompt\": \"" + repeated("<image>", size / 2) + "\", \"images\": [" +
              repeated("\"a\",", size / 2) + "\"a\"]}";
     }},
    {"pictures before the text",
     [](size_t size) {
       return "{\"prompt\": \"a\", \"images\": [" + repeated("\"a\",", size) + "\"a\"]}";
     }},
};

TEST(RowsGrowth, parse_a_mebibyte_in_a_time_that_grows_with_it) {
  for (const auto& [kind, make_text] : kTexts) {
    testing::expect_linear(kind, make_text, [](const std::string& text) {
      try {
        parse_rows(text, "rows.jsonl", {});
      } catch (const core::UserError&) {  // no row at all
      }
    });
  }
}

}  // namespace
}  // namespace sgrpo::data
