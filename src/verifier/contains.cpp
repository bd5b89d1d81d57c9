// `contains`: the completion holds the ground truth, whole words only, and nothing forbidden.
#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/normalize.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

class Contains : public Verifier {
 public:
  Contains(const core::Json& json, const std::string& where)
      : Contains(
            Params(json, where, {"normalize", "whole_words", "separator", "match", "forbidden"})) {}

  Verdict verify(const Sample& sample) const override {
    const std::string text = normalize_(sample.completion);
    return answered(judge(text, sample.ground_truth),
                    text,
                    span_of(sample.completion, stripped(sample.completion)));
  }

 private:
  Verdict judge(const std::string& text, const std::string& ground_truth) const {
    if (ground_truth.empty()) return no_ground_truth("contains");
    if (text.empty()) return unparsed();
    for (const std::string& word : forbidden_) {
      if (holds(text, word)) return graded(false);
    }
    bool any = false, all = true;
    for (const std::string& needle : needles(ground_truth)) {
      if (needle.empty()) {
        return failed(core::str("contains: ground truth '",
                                core::printable(ground_truth),
                                "' has an empty part, which every text contains"));
      }
      const bool found = holds(text, needle);
      any = any || found;
      all = all && found;
    }
    return graded(needs_all_ ? all : any);
  }

  explicit Contains(const Params& params)
      : normalize_(params, "normalize", {"lower", "whitespace"}),
        whole_words_(params.flag("whole_words", true)),
        separator_(params.text("separator", "")),
        needs_all_(params.choice("match", "any", {"any", "all"}) == "all") {
    for (const std::string& word : params.texts("forbidden", {})) {
      forbidden_.push_back(normalize_(word));
      if (forbidden_.back().empty()) {
        throw core::UserError(
            core::str(params.path("forbidden"), " holds an empty text, which every text contains"));
      }
    }
  }

  std::vector<std::string> needles(const std::string& ground_truth) const {
    std::vector<std::string> result;
    if (separator_.empty()) return {normalize_(ground_truth)};
    for (size_t begin = 0; begin <= ground_truth.size();) {
      const size_t end = std::min(ground_truth.find(separator_, begin), ground_truth.size());
      result.push_back(normalize_(std::string_view(ground_truth).substr(begin, end - begin)));
      begin = end + separator_.size();
    }
    return result;
  }

  bool holds(const std::string& text, const std::string& needle) const {
    for (size_t at = text.find(needle); at != std::string::npos; at = text.find(needle, at + 1)) {
      if (!whole_words_) return true;
      const size_t end = at + needle.size();
      const bool cuts_left = at > 0 && is_word_byte(text[at - 1]) && is_word_byte(needle.front());
      const bool cuts_right =
          end < text.size() && is_word_byte(text[end]) && is_word_byte(needle.back());
      if (!cuts_left && !cuts_right) return true;
    }
    return false;
  }

  Normalizer normalize_;
  bool whole_words_;
  std::string separator_;
  bool needs_all_;
  std::vector<std::string> forbidden_;
};

SGRPO_REGISTER_VERIFIER("contains", Contains);

}  // namespace
}  // namespace sgrpo::verifier
