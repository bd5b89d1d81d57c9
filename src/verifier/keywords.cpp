// `keywords`: exactly one word of each slot, equal to the ground truth's, and nothing else but
// filler words, in any order or style.
#include <bitset>
#include <map>
#include <optional>
#include <set>

#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/normalize.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

using CharacterSet = std::bitset<256>;

bool is_word_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         static_cast<unsigned char>(c) >= 0x80;
}

/// A bracket expression of single ASCII characters and ranges, "[a-z ,.:;-]".
CharacterSet read_characters(const std::string& pattern, const std::string& path) {
  const auto wrong = [&](const std::string& why) -> core::UserError {
    return core::UserError(core::str(
        path, " is '", core::printable(pattern), "', expected a set like [a-z ,.:;-]: ", why));
  };
  if (pattern.size() < 3 || pattern.front() != '[' || pattern.back() != ']' || pattern[1] == '^') {
    throw wrong("a bracketed, not negated list");
  }
  const std::string_view inside = std::string_view(pattern).substr(1, pattern.size() - 2);
  CharacterSet result;
  for (size_t i = 0; i < inside.size(); ++i) {
    const auto low = static_cast<unsigned char>(inside[i]);
    auto high = low;
    if (i + 2 < inside.size() && inside[i + 1] == '-') {
      high = static_cast<unsigned char>(inside[i + 2]);
      i += 2;
    }
    if (low >= 0x80 || high >= 0x80) throw wrong("only ASCII characters");
    if (low > high) throw wrong("a range runs backwards");
    for (size_t c = low; c <= high; ++c) result.set(c);
  }
  return result;
}

class Keywords : public Verifier {
 public:
  Keywords(const core::Json& json, const std::string& where)
      : Keywords(Params(json, where, {"slots", "filler", "characters", "normalize"})) {}

  Verdict verify(const Sample& sample) const override {
    const auto answer = read(sample.completion);
    const Verdict verdict = judge(answer, sample.ground_truth);
    if (!answer) return verdict;
    return answered(verdict,
                    core::join(*answer, separator_),
                    span_of(sample.completion, stripped(sample.completion)));
  }

 private:
  using Words = std::vector<std::string>;

  Verdict judge(const std::optional<Words>& answer, const std::string& ground_truth) const {
    if (ground_truth.empty()) return no_ground_truth("keywords");
    const auto expected = read(ground_truth);
    if (!expected) {
      return failed(core::str("keywords: ground truth '",
                              core::printable(ground_truth),
                              "' does not hold exactly one word of every slot and filler else"));
    }
    return answer ? graded(*answer == *expected) : unparsed();
  }

  explicit Keywords(const Params& params)
      : normalize_(params, "normalize", {"none"}),
        allowed_(
            read_characters(params.text("characters", "[a-z ,.:;-]"), params.path("characters"))) {
    for (int c = 0x7F; c >= 0 && separator_ != " "; --c) {
      const char character = static_cast<char>(c);
      if (allowed_[static_cast<size_t>(c)] && !is_word_character(character)) separator_ = character;
    }
    const core::Json* slots = params.find("slots");
    if (slots == nullptr) {
      throw core::UserError(core::str(params.path("slots"),
                                      " is missing: expected a list of word lists, one a slot"));
    }
    if (!slots->is_array() || slots->empty()) {
      refuse(params.path("slots"), *slots, "a list of word lists, one a slot");
    }
    for (const core::Json& slot : *slots) {
      const std::string path = core::str(params.path("slots"), "[", num_slots_, "]");
      if (!slot.is_array() || slot.empty()) refuse(path, slot, "a list of words");
      add_words(string_list(slot, path), num_slots_++, path);
    }
    add_words(params.texts("filler", {}), kFiller, params.path("filler"));
  }

  void add_words(const std::vector<std::string>& words, int64_t slot, const std::string& path) {
    for (const std::string& word : words) {
      bool is_word = !word.empty();
      for (const char c : word) {
        is_word = is_word && is_word_character(c) && allowed_[static_cast<unsigned char>(c)];
      }
      if (!is_word) {
        throw core::UserError(core::str(path,
                                        " holds '",
                                        core::printable(word),
                                        "', expected letters and digits that `characters` allows"));
      }
      const auto [position, inserted] = slot_of_.emplace(word, slot);
      if (!inserted && position->second != slot) {
        throw core::UserError(
            core::str(path, " holds '", word, "', which stands in another slot or in the filler"));
      }
    }
  }

  /// The word of each slot, or nothing if the text is not of the expected kind.
  std::optional<Words> read(const std::string& raw) const {
    const std::string text = normalize_(raw);
    Words found(static_cast<size_t>(num_slots_));
    for (size_t i = 0; i < text.size();) {
      if (!allowed_[static_cast<unsigned char>(text[i])]) return std::nullopt;
      size_t end = i;
      while (end < text.size() && is_word_character(text[end])) ++end;
      if (end > i && !place(text.substr(i, end - i), found)) return std::nullopt;
      i = std::max(end, i + 1);
    }
    for (const std::string& word : found) {
      if (word.empty()) return std::nullopt;
    }
    return found;
  }

  bool place(const std::string& word, Words& mutable_found) const {
    const auto known = slot_of_.find(word);
    if (known == slot_of_.end()) return false;
    if (known->second == kFiller) return true;
    std::string& slot = mutable_found[static_cast<size_t>(known->second)];
    if (!slot.empty()) return false;
    slot = word;
    return true;
  }

  static constexpr int64_t kFiller = -1;
  Normalizer normalize_;
  CharacterSet allowed_;
  std::map<std::string, int64_t> slot_of_;
  int64_t num_slots_ = 0;
  std::string separator_;  // between the words of an answer: a blank, if the text may have any
};

SGRPO_REGISTER_VERIFIER("keywords", Keywords);

}  // namespace
}  // namespace sgrpo::verifier
