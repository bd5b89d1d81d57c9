#include "verifier/json_text.h"

#include "sgrpo/core/text.h"

namespace sgrpo::verifier {
namespace {

// The parser's key look-up is linear in an object's size, so this bounds the time of a parse.
constexpr size_t kMaxJsonBytes = 64 * 1024;
constexpr int kMaxTries = 16;

std::optional<FoundJson> parse(std::string_view text) {
  text = core::trim(text);
  if (text.empty() || text.size() > kMaxJsonBytes) return std::nullopt;
  try {
    return FoundJson{core::parse_json(text, "completion", core::Numbers::kStrict), text};
  } catch (const core::UserError&) {
    return std::nullopt;
  }
}

/// One past the bracket that closes the one at `open`, brackets in strings aside, or
/// std::string_view::npos.
size_t closing_bracket(std::string_view text, size_t open) {
  int64_t depth = 0;
  bool in_string = false;
  for (size_t i = open; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else {
      depth += (c == '{' || c == '[') - (c == '}' || c == ']');
      if (depth == 0) return i + 1;
    }
  }
  return std::string_view::npos;
}

std::optional<std::string_view> last_fenced(std::string_view text) {
  constexpr std::string_view kFence = "```";
  const size_t close = text.rfind(kFence);
  if (close == std::string_view::npos || close == 0) return std::nullopt;
  const size_t open = text.rfind(kFence, close - 1);
  if (open == std::string_view::npos || open + kFence.size() > close) return std::nullopt;
  const size_t line = text.find('\n', open);
  if (line == std::string_view::npos || line > close) return std::nullopt;
  return text.substr(line, close - line);
}

}  // namespace

std::optional<FoundJson> find_json(std::string_view text) {
  if (auto whole = parse(text)) return whole;
  if (const auto block = last_fenced(text)) {
    if (auto inside = parse(*block)) return inside;
  }
  size_t open = text.find_first_of("{[");
  for (int tries = 0; open != std::string_view::npos && tries < kMaxTries; ++tries) {
    const size_t end = closing_bracket(text, open);
    if (end != std::string_view::npos) {
      if (auto inside = parse(text.substr(open, end - open))) return inside;
    }
    open = text.find_first_of("{[", open + 1);
  }
  return std::nullopt;
}

}  // namespace sgrpo::verifier
