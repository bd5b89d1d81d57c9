// A penalty for repeated n-grams of words: r -= weight (1 - distinct n-grams / n-grams), words
// being what white space separates, letters of ASCII compared without case; 0 for texts of fewer
// than n words. Source: arXiv 2502.03373; form as ms-swift's (n 3, weight 1), which folds the case
// of all letters.
#include <cctype>
#include <set>
#include <string>
#include <vector>

#include "sgrpo/algorithm/shaping.h"

namespace sgrpo::algorithm {
namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  bool is_inside = false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isspace(byte) != 0) {
      is_inside = false;
      continue;
    }
    if (!is_inside) words.emplace_back();
    is_inside = true;
    words.back() += static_cast<char>(std::tolower(byte));
  }
  return words;
}

class Repetition final : public Shaper {
 public:
  Repetition(MethodParams& params, const ShapingContext& /*context*/)
      : n_(static_cast<size_t>(params.integer("n", 3, 1, 100))),
        weight_(params.number("weight", 1.0, 0.0, 1e3)) {}

  double shape(const RolloutGroup& /*group*/, const GroupMember& member) const override {
    const std::vector<std::string> words = words_of(member.completion.text);
    if (words.size() < n_) return member.reward();
    std::set<std::vector<std::string>> distinct;
    const size_t count = words.size() - n_ + 1;
    for (size_t i = 0; i < count; ++i) {
      const auto first = words.begin() + static_cast<std::ptrdiff_t>(i);
      distinct.emplace(first, first + static_cast<std::ptrdiff_t>(n_));
    }
    const double share = static_cast<double>(distinct.size()) / static_cast<double>(count);
    return member.reward() - weight_ * (1.0 - share);
  }

 private:
  size_t n_;
  double weight_;
};

SGRPO_REGISTER_SHAPER("repetition", Repetition);

}  // namespace
}  // namespace sgrpo::algorithm
