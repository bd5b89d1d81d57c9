#include "split_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <limits>

#include "sgrpo/core/check.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"
#include "unicode.h"

namespace sgrpo::tokenizer {

const std::string_view kQwenPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

// White_Space. PCRE2's own \s holds U+180E besides, which Unicode moved out of the spaces.
constexpr std::string_view kSpaces = R"(\x{9}-\x{D}\x{85}\p{Z})";

// Rewrites an expression for PCRE2. Only constructs with the same meaning in both libraries pass;
// \s, \p{L} and \p{N} are spelled out where their tables differ.
class Translator {
 public:
  Translator(std::string_view expression, const std::string& where)
      : in_(expression), where_(where) {}

  std::string run() {
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '\\') {
        escape();
      } else if (c == '[') {
        bracket();
      } else if (c == '(') {
        group();
      } else if (!in_class_ && (c == '.' || c == '^' || c == '$')) {
        refuse(in_.substr(at_, 1));
      } else {
        if (c == ']') in_class_ = false;
        out_.push_back(c);
        ++at_;
      }
      check_dialect();
    }
    return out_;
  }

 private:
  [[noreturn]] void refuse(std::string_view construct) const {
    throw core::UserError(core::str(where_,
                                    ": the expression uses '",
                                    core::printable(construct),
                                    "', expected only literals, classes, \\s \\S \\d \\r \\n \\t "
                                    "\\p{..}, (?:..) (?i:..) (?=..) (?!..), | and quantifiers"));
  }

  // Written alike in both libraries, with different meanings.
  void check_dialect() const {
    const std::string_view next = in_.substr(at_, 2);
    if (in_class_ ? next == "&&" : next == "}+" || next == "{,") refuse(next);
  }

  void bracket() {
    if (in_class_) refuse("[ inside a class");
    in_class_ = true;
    out_.push_back('[');
    ++at_;
    if (at_ < in_.size() && in_[at_] == '^') {
      out_.push_back('^');
      ++at_;
    }
    if (at_ < in_.size() && in_[at_] == ']') refuse("[]");
  }

  void group() {
    if (in_class_) {
      out_.push_back('(');
      ++at_;
      return;
    }
    for (const std::string_view known : {"(?:", "(?i:", "(?=", "(?!"}) {
      if (core::starts_with(in_.substr(at_), known)) {
        out_ += known;
        at_ += known.size();
        return;
      }
    }
    if (in_.substr(at_, 2) == "(?" || in_.substr(at_, 2) == "(*") refuse(in_.substr(at_, 3));
    out_ += "(?:";
    ++at_;
  }

  void set(std::string_view inside, bool negated) {
    if (in_class_ && negated) refuse("a negated set inside a class");
    out_ += in_class_ ? std::string(inside) : core::str(negated ? "[^" : "[", inside, "]");
  }

  void escape() {
    const std::string_view rest = in_.substr(at_);
    if (rest.size() < 2) refuse(rest);
    const char c = rest[1];
    if (c == 'p' || c == 'P') return property(rest);
    at_ += 2;
    if (c == 's' || c == 'S') return set(kSpaces, c == 'S');
    if (c == 'd') return set(R"(\p{Nd})", false);
    const bool letter_or_digit =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter_or_digit && c != 'r' && c != 'n' && c != 't') refuse(rest.substr(0, 2));
    out_ += rest.substr(0, 2);
  }

  void property(std::string_view rest) {
    const size_t close = rest.find('}');
    if (rest.size() < 4 || rest[2] != '{' || close == rest.npos) refuse(rest.substr(0, 4));
    const std::string_view name = rest.substr(3, close - 3);
    static constexpr std::array<std::string_view, 18> kKnown = {"L",
                                                                "Lu",
                                                                "Ll",
                                                                "Lt",
                                                                "Lm",
                                                                "Lo",
                                                                "M",
                                                                "Mn",
                                                                "Mc",
                                                                "Me",
                                                                "N",
                                                                "Nd",
                                                                "P",
                                                                "S",
                                                                "Sc",
                                                                "Z",
                                                                "Zs",
                                                                "Han"};
    bool known = false;
    for (const std::string_view candidate : kKnown) known = known || candidate == name;
    if (!known) refuse(rest.substr(0, close + 1));
    std::string inside = core::str("\\p{", name, "}");
    if (name == "L" || name == "N") inside += young_class(name[0]);
    at_ += close + 1;
    set(inside, rest[1] == 'P');
  }

  std::string_view in_;
  const std::string& where_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
};

std::string pcre_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

struct SplitPattern::Code {
  pcre2_code* compiled = nullptr;
  std::string where;
  Code() = default;
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() { pcre2_code_free(compiled); }
};

namespace {

// What a search may cost must grow with the text, but no faster: a hostile expression needs 2^n
// steps for n characters, or looks at all of the text for each of its words. So a search sees a
// short part of the text, of few steps, and more of both where that does not decide it; all that
// is more is counted. What a long run needs (a step back over each of its characters) is granted.
class BoundedSearch {
 public:
  BoundedSearch(const pcre2_code* code, std::string_view text)
      : code_(code), text_(text), budget_(kFree + kPerByte * text.size()) {
    constexpr uint32_t kHeapKib = uint32_t{256} << 10;
    pcre2_set_heap_limit(context_.get(), kHeapKib);
  }

  // PCRE2's answer to a search from `start`; PCRE2_ERROR_MATCHLIMIT once the budget is used up.
  int find(size_t start) {
    for (uint64_t window = kFirstWindow;; window *= kGrowth) {
      const size_t end = character_end(start + std::min<uint64_t>(window, text_.size() - start));
      const bool is_all = end == text_.size();
      // A hard partial match: whatever looks at the end of the part is undecided.
      const int found = find_until(end, start, is_all ? 0 : PCRE2_PARTIAL_HARD);
      if (window > kFirstWindow && !take(end - start)) return PCRE2_ERROR_MATCHLIMIT;
      if (is_all || (found != PCRE2_ERROR_PARTIAL && found != PCRE2_ERROR_NOMATCH)) return found;
    }
  }

  const PCRE2_SIZE* range() const { return pcre2_get_ovector_pointer(data_.get()); }

 private:
  static constexpr uint64_t kFree = 10'000'000, kPerByte = 256;
  static constexpr uint64_t kFirstWindow = 256, kFirstLimit = 1000, kGrowth = 16;
  static constexpr uint64_t kMostSteps = std::numeric_limits<uint32_t>::max();

  int find_until(size_t end, size_t start, uint32_t options) {
    for (uint64_t limit = kFirstLimit;; limit *= kGrowth) {
      pcre2_set_match_limit(context_.get(), static_cast<uint32_t>(std::min(limit, kMostSteps)));
      int found = match(end, start, options);
      if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match(end, start, options | PCRE2_NO_JIT);
      if (found != PCRE2_ERROR_MATCHLIMIT || !take(limit)) return found;
    }
  }

  int match(size_t end, size_t start, uint32_t options) {
    return pcre2_match(code_,
                       reinterpret_cast<PCRE2_SPTR>(text_.data()),
                       end,
                       start,
                       options | PCRE2_NO_UTF_CHECK,
                       data_.get(),
                       context_.get());
  }

  bool take(uint64_t cost) {
    const bool is_left = cost <= budget_;
    budget_ -= is_left ? cost : 0;
    return is_left;
  }

  // The first place from `at` on where no character is cut.
  size_t character_end(size_t at) const {
    while (at < text_.size() && (static_cast<unsigned char>(text_[at]) & 0xC0) == 0x80) ++at;
    return at;
  }

  const pcre2_code* code_;
  std::string_view text_;
  uint64_t budget_;
  std::unique_ptr<pcre2_match_data, FreeMatch> data_{
      pcre2_match_data_create_from_pattern(code_, nullptr)};
  std::unique_ptr<pcre2_match_context, FreeMatch> context_{pcre2_match_context_create(nullptr)};
};

}  // namespace

SplitPattern::SplitPattern(std::string_view expression, const std::string& where)
    : code_(std::make_unique<Code>()) {
  const std::string translated = Translator(expression, where).run();
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->where = where;
  code_->compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()),
                                  translated.size(),
                                  PCRE2_UTF | PCRE2_UCP,
                                  &error,
                                  &offset,
                                  nullptr);
  if (code_->compiled == nullptr) {
    throw core::UserError(core::str(where, ": the expression is not valid: ", pcre_message(error)));
  }
  uint32_t matches_empty = 0;
  pcre2_pattern_info(code_->compiled, PCRE2_INFO_MATCHEMPTY, &matches_empty);
  if (matches_empty != 0) {
    throw core::UserError(core::str(where,
                                    ": the expression matches the empty string, expected one "
                                    "that does not"));
  }
  // Without a JIT (hardened kernels) PCRE2 interprets: slower, same result.
  pcre2_jit_compile(code_->compiled, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
}

SplitPattern::~SplitPattern() = default;
SplitPattern::SplitPattern(SplitPattern&&) noexcept = default;
SplitPattern& SplitPattern::operator=(SplitPattern&&) noexcept = default;

std::vector<std::string_view> SplitPattern::split(std::string_view text) const {
  std::vector<std::string_view> pieces;
  BoundedSearch search(code_->compiled, text);
  size_t last = 0;
  while (last < text.size()) {
    const int found = search.find(last);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) {
      throw core::UserError(core::str(code_->where,
                                      ": the expression cannot split ",
                                      text.size(),
                                      " bytes of text into words: ",
                                      pcre_message(found)));
    }
    const PCRE2_SIZE* range = search.range();
    SGRPO_INTERNAL(range[1] > range[0] && range[0] >= last, "an empty match");
    if (range[0] > last) pieces.push_back(text.substr(last, range[0] - last));
    pieces.push_back(text.substr(range[0], range[1] - range[0]));
    last = range[1];
  }
  if (last < text.size()) pieces.push_back(text.substr(last));
  return pieces;
}

}  // namespace sgrpo::tokenizer
