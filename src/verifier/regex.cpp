// `regex`: the completion matches a pattern, or a group of the match equals the ground truth.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <optional>

#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/normalize.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

/// Steps that one verdict may take: pattern items tried plus bytes passed. A backtracking matcher
/// is exponential on hostile text; counting makes the limit the same on every machine.
constexpr uint64_t kMaxSteps = 20'000'000;
constexpr size_t kMaxPatternBytes = 1 << 16;
constexpr uint32_t kMaxHeapKib = 64 * 1024;

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using Code = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;

struct Budget {
  uint64_t left = kMaxSteps;
  size_t position = 0;
};

int count_step(pcre2_callout_block* block, void* data) {
  auto* budget = static_cast<Budget*>(data);
  const size_t now = block->current_position;
  const uint64_t cost = 1 + (now > budget->position ? now - budget->position : 0);
  budget->position = now;
  if (budget->left < cost) return PCRE2_ERROR_MATCHLIMIT;
  budget->left -= cost;
  return 0;
}

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

bool is_limit(int error) {
  return error == PCRE2_ERROR_MATCHLIMIT || error == PCRE2_ERROR_DEPTHLIMIT ||
         error == PCRE2_ERROR_HEAPLIMIT;
}

Code compile(const std::string& pattern, uint32_t options, std::string& mutable_error) {
  if (pattern.size() > kMaxPatternBytes) {
    mutable_error = core::str("the pattern has ", pattern.size(), " bytes");
    return nullptr;
  }
  int number = 0;
  size_t offset = 0;
  Code code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()),
                    pattern.size(),
                    options | PCRE2_UTF | PCRE2_UCP | PCRE2_AUTO_CALLOUT | PCRE2_NEVER_BACKSLASH_C,
                    &number,
                    &offset,
                    nullptr));
  if (!code) {
    mutable_error = core::str(message_of(number), " at byte ", offset, " of the pattern");
  }
  return code;
}

class Regex : public Verifier {
 public:
  Regex(const core::Json& json, const std::string& where)
      : Regex(Params(json,
                     where,
                     {"pattern",
                      "group",
                      "match",
                      "position",
                      "ignore_case",
                      "multiline",
                      "dotall",
                      "normalize"})) {}

  Verdict verify(const Sample& sample) const override {
    if (code_) return judge(code_.get(), sample);
    if (sample.ground_truth.empty()) return no_ground_truth("regex");
    std::string error;
    const Code code = compile(core::to_valid_utf8(sample.ground_truth), options_, error);
    if (code) return judge(code.get(), sample);
    return failed(core::str("regex: ground truth '",
                            core::printable(sample.ground_truth),
                            "' is used as the pattern, but ",
                            error));
  }

 private:
  explicit Regex(const Params& params)
      : is_full_(params.choice("match", "search", {"search", "full"}) == "full"),
        takes_last_(params.choice("position", "first", {"first", "last"}) == "last"),
        normalize_(params, "normalize", {"strip"}) {
    if (params.flag("ignore_case", false)) options_ |= PCRE2_CASELESS;
    if (params.flag("multiline", false)) options_ |= PCRE2_MULTILINE;
    if (params.flag("dotall", false)) options_ |= PCRE2_DOTALL;
    if (is_full_) options_ |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    if (params.find("pattern") != nullptr) compile_pattern(params);
    uint32_t num_groups = 0;
    if (code_) pcre2_pattern_info(code_.get(), PCRE2_INFO_CAPTURECOUNT, &num_groups);
    group_ = static_cast<size_t>(params.integer("group", 0, 0, num_groups));
  }

  void compile_pattern(const Params& params) {
    const std::string pattern = params.required_text("pattern");
    std::string error;
    code_ = compile(pattern, options_, error);
    if (!code_) {
      throw core::UserError(core::str(params.path("pattern"),
                                      " is '",
                                      core::printable(pattern),
                                      "', expected a PCRE2 pattern: ",
                                      error));
    }
  }

  Verdict judge(const pcre2_code* code, const Sample& sample) const {
    const std::string text = core::to_valid_utf8(sample.completion);
    TextSpan group;
    const int result = match(code, text, group);
    const bool lacks_truth = group_ > 0 && sample.ground_truth.empty();
    if (result == PCRE2_ERROR_NOMATCH) {
      if (lacks_truth) return no_ground_truth("regex");
      return group_ > 0 ? unparsed() : graded(false);
    }
    if (is_limit(result)) {
      return timed_out(core::str("regex: no result within ", kMaxSteps, " steps"));
    }
    if (result < 0) return failed(core::str("regex: ", message_of(result)));
    const std::string answer = normalize_(std::string_view(text).substr(
        static_cast<size_t>(group.begin), static_cast<size_t>(group.end - group.begin)));
    const Verdict verdict = lacks_truth
                                ? no_ground_truth("regex")
                                : graded(group_ == 0 || answer == normalize_(sample.ground_truth));
    // Replaced bytes have moved what stands behind them.
    const bool has_place = text == sample.completion;
    return answered(verdict, answer, has_place ? std::optional<TextSpan>(group) : std::nullopt);
  }

  /// At least 0 for a match, or PCRE2's error number; `group` receives where the group matched.
  int match(const pcre2_code* code, const std::string& text, TextSpan& mutable_group) const {
    Budget budget;
    const MatchContext context(pcre2_match_context_create(nullptr));
    const MatchData data(pcre2_match_data_create_from_pattern(code, nullptr));
    pcre2_set_callout(context.get(), count_step, &budget);
    pcre2_set_heap_limit(context.get(), kMaxHeapKib);
    int outcome = PCRE2_ERROR_NOMATCH;
    for (size_t start = 0; start <= text.size();) {
      const int result = pcre2_match(code,
                                     reinterpret_cast<PCRE2_SPTR>(text.data()),
                                     text.size(),
                                     start,
                                     PCRE2_NO_UTF_CHECK,
                                     data.get(),
                                     context.get());
      if (result == PCRE2_ERROR_NOMATCH) break;
      if (result < 0) return result;
      const size_t* ends = pcre2_get_ovector_pointer(data.get());
      outcome = result;
      const bool is_set = ends[2 * group_] != PCRE2_UNSET;
      mutable_group = is_set ? TextSpan{.begin = static_cast<int64_t>(ends[2 * group_]),
                                        .end = static_cast<int64_t>(ends[2 * group_ + 1])}
                             : TextSpan{};
      if (!takes_last_) break;
      start = ends[1] > start ? ends[1] : next_character(text, start);
    }
    return outcome;
  }

  static size_t next_character(const std::string& text, size_t i) {
    for (++i; i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80;) ++i;
    return i;
  }

  bool is_full_, takes_last_;
  uint32_t options_ = 0;
  Normalizer normalize_;
  Code code_;
  size_t group_ = 0;
};

SGRPO_REGISTER_VERIFIER("regex", Regex);

}  // namespace
}  // namespace sgrpo::verifier
