// A mebibyte of any JSON takes a time that grows with it.
#include <map>

#include "sgrpo/core/json.h"
#include "testing/growth.h"

namespace sgrpo::core {
namespace {

using testing::repeated;

std::string numbered(const std::string& before, const std::string& after, size_t size) {
  std::string text = "{";
  for (size_t i = 0; text.size() + before.size() + after.size() + 12 < size; ++i)
    text += (i == 0 ? "" : ",") + before + std::to_string(i) + after;
  return text + "}";
}

const std::map<std::string, std::function<std::string(size_t)>> kTexts = {
    {"keys", [](size_t size) { return numbered("\"k", "\":0", size); }},
    {"long keys alike",
     [](size_t size) { return numbered("\"" + std::string(200, 'k'), "\":null", size); }},
    {"objects", [](size_t size) { return "[" + repeated("{\"a\":1},", size) + "0]"; }},
    {"lists", [](size_t size) { return "[" + repeated("[],", size) + "0]"; }},
    {"nesting", [](size_t size) { return repeated("[", size); }},
    {"nesting of keys", [](size_t size) { return repeated("{\"a\":", size); }},
    {"numbers", [](size_t size) { return "[" + repeated("1.25,", size) + "0]"; }},
    {"numbers beyond", [](size_t size) { return "[" + repeated("1e999,", size) + "0]"; }},
    {"NaN", [](size_t size) { return "[" + repeated("NaN,", size) + "0]"; }},
    {"one number", [](size_t size) { return "[" + std::string(size, '9') + "]"; }},
    {"one string", [](size_t size) { return "\"" + std::string(size, 'x') + "\""; }},
    {"escapes", [](size_t size) { return "\"" + repeated("\\ud83d\\ude42", size) + "\""; }},
    {"backslashes", [](size_t size) { return "\"" + repeated("\\\\", size); }},
    {"quotes", [](size_t size) { return repeated("\"", size); }},
    {"spaces", [](size_t size) { return std::string(size, ' '); }},
    {"letters", [](size_t size) { return std::string(size, 'x'); }},
    {"signs", [](size_t size) { return std::string(size, '-'); }},
    {"broken bytes", [](size_t size) { return "\"" + std::string(size, '\xFF') + "\""; }},
};

TEST(JsonGrowth, parse_and_dump_a_mebibyte_in_a_time_that_grows_with_it) {
  for (const auto& [kind, make_text] : kTexts) {
    for (const Numbers numbers : {Numbers::kStrict, Numbers::kText}) {
      testing::expect_linear(kind, make_text, [&](const std::string& text) {
        try {
          dump_ascii(parse_json(text, "here", numbers));
        } catch (const UserError&) {
        }
      });
    }
  }
}

}  // namespace
}  // namespace sgrpo::core
