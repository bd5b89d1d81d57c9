// A mebibyte of any YAML takes a time that grows with it.
#include <map>

#include "sgrpo/config/binder.h"
#include "sgrpo/config/config.h"
#include "testing/growth.h"

namespace sgrpo::config {
namespace {

using testing::repeated;

std::string numbered(const std::string& before, const std::string& after, size_t size) {
  std::string text;
  for (size_t i = 0; text.size() + before.size() + after.size() + 8 < size; ++i)
    text += before + std::to_string(i) + after;
  return text;
}

const std::map<std::string, std::function<std::string(size_t)>> kTexts = {
    {"keys", [](size_t size) { return numbered("k", ": 0\n", size); }},
    {"one key", [](size_t size) { return std::string(size, 'k') + ": 1"; }},
    {"one value", [](size_t size) { return "seed: " + std::string(size, '9'); }},
    {"words", [](size_t size) { return repeated("word ", size); }},
    {"quotes", [](size_t size) { return repeated("'", size); }},
    {"one quoted text", [](size_t size) { return "a: \"" + repeated("\\u00e4", size) + "\""; }},
    {"surrogates", [](size_t size) { return "a: \"" + repeated("\\ud83d", size) + "\""; }},
    {"backslashes", [](size_t size) { return "a: \"" + repeated("\\\\", size) + "\\u0041\""; }},
    {"flow lists", [](size_t size) { return repeated("[", size); }},
    {"flow maps", [](size_t size) { return repeated("{a: ", size); }},
    {"items of a flow list", [](size_t size) { return "a: [" + repeated("1,", size) + "]"; }},
    {"keys of a flow map", [](size_t size) { return "a: {" + numbered("k", ": 0, ", size) + "}"; }},
    {"block lists", [](size_t size) { return repeated("- ", size); }},
    {"items", [](size_t size) { return "a:\n" + repeated("- 1\n", size); }},
    {"anchors", [](size_t size) { return "a:\n" + numbered("- &x", " 1\n", size); }},
    {"question marks", [](size_t size) { return repeated("? ", size); }},
    {"colons", [](size_t size) { return repeated(": ", size); }},
    {"comments", [](size_t size) { return repeated("# x\n", size); }},
    {"one comment", [](size_t size) { return "#" + std::string(size, 'x'); }},
    {"documents", [](size_t size) { return repeated("---\n", size); }},
    {"spaces", [](size_t size) { return std::string(size, ' '); }},
    {"lines", [](size_t size) { return std::string(size, '\n'); }},
    {"a literal", [](size_t size) { return "a: |\n" + repeated("  x\n", size); }},
    {"tags", [](size_t size) { return repeated("!x ", size); }},
    {"percent signs", [](size_t size) { return repeated("%", size); }},
};

struct Options {
  int64_t seed = 0;
  template <class V>
  void visit_fields(V& visit) {
    visit("seed", seed, FieldInfo{.help = "x"});
  }
};

TEST(YamlGrowth, read_a_mebibyte_in_a_time_that_grows_with_it) {
  for (const auto& [kind, make_text] : kTexts) {
    testing::expect_linear(kind, make_text, [](const std::string& text) {
      Options options;
      try {
        bind(parse_yaml(text, "here.yaml"), options);
      } catch (const ConfigError&) {
      }
    });
  }
}

}  // namespace
}  // namespace sgrpo::config
