// `choice`: the one label that the completion chooses equals the ground truth.
#include <algorithm>
#include <optional>

#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/normalize.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

constexpr size_t npos = std::string_view::npos;

std::string lower_ascii(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 0x20);
  }
  return result;
}

std::string_view without(std::string_view text, std::string_view front, std::string_view back) {
  while (!text.empty() && front.find(text.front()) != npos) text.remove_prefix(1);
  while (!text.empty() && back.find(text.back()) != npos) text.remove_suffix(1);
  return text;
}

/// What one way of reading a text found.
struct Reading {
  std::optional<size_t> label;
  TextSpan span;  // of the last one
  bool is_ambiguous = false;
  void add(size_t index, TextSpan place) {
    is_ambiguous = is_ambiguous || (label && *label != index);
    label = index;
    span = place;
  }
  bool found() const { return label.has_value(); }
  bool is_answer() const { return found() && !is_ambiguous; }
};

class Choice : public Verifier {
 public:
  Choice(const core::Json& json, const std::string& where)
      : Choice(Params(json, where, {"choices", "case_sensitive", "strict"})) {}

  Verdict verify(const Sample& sample) const override {
    const Reading answer = read(sample.completion);
    const Verdict verdict = judge(answer, sample.ground_truth);
    return answer.is_answer() ? answered(verdict, shown_[*answer.label], answer.span) : verdict;
  }

 private:
  Verdict judge(const Reading& answer, const std::string& ground_truth) const {
    if (ground_truth.empty()) return no_ground_truth("choice");
    const Reading expected = whole(ground_truth);
    if (!expected.found()) {
      return failed(core::str("choice: ground truth '",
                              core::printable(ground_truth),
                              "' is none of the choices ",
                              core::printable(core::join(shown_, ", "))));
    }
    return answer.is_answer() ? graded(answer.label == expected.label) : unparsed();
  }

  explicit Choice(const Params& params)
      : shown_(params.texts("choices", {"A", "B", "C", "D", "E", "F", "G", "H"})),
        is_case_sensitive_(params.flag("case_sensitive", false)),
        is_strict_(params.flag("strict", false)) {
    if (shown_.empty()) refuse(params.path("choices"), *params.find("choices"), "some labels");
    for (std::string& label : shown_) {
      const std::string folded = fold(core::trim(label));
      if (folded.empty() || std::find(labels_.begin(), labels_.end(), folded) != labels_.end()) {
        throw core::UserError(core::str(params.path("choices"),
                                        " holds '",
                                        core::printable(label),
                                        "', expected labels that differ and are not empty"));
      }
      labels_.push_back(folded);
      label = std::string(core::trim(label));
    }
  }

  std::string fold(std::string_view text) const {
    return is_case_sensitive_ ? std::string(text) : lower_ascii(text);
  }

  /// The strongest form that occurs decides: the whole text is a label; "answer: B"; "(B)" or "B)"
  /// at the start; a label of more than one character standing as words.
  Reading read(const std::string& text) const {
    Reading reading = whole(text);
    if (reading.found() || is_strict_) return reading;
    const std::string folded = fold(text);
    const std::string lower = lower_ascii(text);
    reading = after_cue(folded, lower);
    if (!reading.found()) reading = marked(folded);
    if (!reading.found()) reading = as_words(folded);
    return reading;
  }

  /// The label that the whole text is, but for brackets, quotes and a final mark.
  Reading whole(std::string_view text) const {
    Reading reading;
    const std::string_view marked = without(text, " \t\r\n([{\"'*`$", " \t\r\n)]}\"'*`$.:,");
    for (const std::string_view part : {marked, core::trim(text)}) {
      const std::string folded = fold(part);
      for (size_t i = 0; i < labels_.size(); ++i) {
        if (labels_[i] == folded) reading.add(i, span_of(text, part));
      }
    }
    return reading;
  }

  /// The longest label that stands at `at` as a word of its own.
  std::optional<size_t> label_at(std::string_view text, size_t at) const {
    std::optional<size_t> best;
    if (at > 0 && is_word_byte(text[at - 1])) return best;
    for (size_t i = 0; i < labels_.size(); ++i) {
      const std::string& label = labels_[i];
      const size_t end = at + label.size();
      if (text.substr(at, label.size()) != label) continue;
      if (end < text.size() && is_word_byte(text[end]) && is_word_byte(label.back())) continue;
      if (!best || label.size() > labels_[*best].size()) best = i;
    }
    return best;
  }

  /// Where the label of that index stands that begins at `at`.
  TextSpan span_at(size_t at, size_t label) const {
    return {.begin = static_cast<int64_t>(at),
            .end = static_cast<int64_t>(at + labels_[label].size())};
  }

  /// Labels right after "answer", "answer is", "option", "choice", with marks between.
  Reading after_cue(std::string_view folded, std::string_view lower) const {
    Reading reading;
    for (const std::string_view cue : {"answer", "option", "choice"}) {
      for (size_t at = lower.find(cue); at != npos; at = lower.find(cue, at + 1)) {
        size_t i = skip_marks(lower, at + cue.size());
        if (lower.substr(i, 3) == "is " || lower.substr(i, 3) == "is:") {
          i = skip_marks(lower, i + 2);
        }
        if (const auto label = label_at(folded, i)) reading.add(*label, span_at(i, *label));
      }
    }
    return reading;
  }

  static size_t skip_marks(std::string_view text, size_t i) {
    constexpr size_t kMost = 16;
    const size_t end = std::min(text.size(), i + kMost);
    while (i < end && std::string_view(" \t\n:=([{*\"'`$").find(text[i]) != npos) ++i;
    return i;
  }

  /// "(B)" anywhere, "B)", "B." or "B:" at the start of the text.
  Reading marked(std::string_view text) const {
    Reading reading;
    const size_t start = text.find_first_not_of(" \t\r\n*");
    for (size_t i = 0; i < text.size(); ++i) {
      const bool is_open = i > 0 && text[i - 1] == '(';
      if (!is_open && i != start) continue;
      const auto label = label_at(text, i);
      const size_t end = label ? i + labels_[*label].size() : npos;
      const char mark = end < text.size() ? text[end] : '\0';
      if (label && (mark == ')' || (!is_open && (mark == '.' || mark == ':'))))
        reading.add(*label, span_at(i, *label));
    }
    return reading;
  }

  Reading as_words(std::string_view text) const {
    Reading reading;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto label = label_at(text, i);
      if (!label || labels_[*label].size() < 2) continue;
      reading.add(*label, span_at(i, *label));
      i += labels_[*label].size() - 1;
    }
    return reading;
  }

  std::vector<std::string> shown_, labels_;
  bool is_case_sensitive_, is_strict_;
};

SGRPO_REGISTER_VERIFIER("choice", Choice);

}  // namespace
}  // namespace sgrpo::verifier
