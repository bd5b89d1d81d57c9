// `ranked_list`: one item a line; each earns its own credit if the row's column `items` has it.
// `items` is a list of texts, each worth 1, or an object of texts and their credits in [0,1]. An
// item that was listed before, and those behind the first `max_items`, earn nothing. The whole
// list's reward, sum of g_k over that of the best list of the row's items:
//   recall   g_k = credit of rank k
//   ndcg     g_k = credit of rank k / log2(k + 1), ranks from 1
// and it is correct from `threshold` on.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/normalize.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

using Credits = std::map<std::string, double>;

constexpr const char* kItems = "items";

/// Bytes of a list marker at the start of a line: "- ", "* ", "12. ", "12) ".
size_t marker_length(std::string_view line) {
  size_t end = 0;
  while (end < line.size() && line[end] >= '0' && line[end] <= '9') ++end;
  const bool is_number = end > 0 && end < line.size() && (line[end] == '.' || line[end] == ')');
  const bool is_bullet = end == 0 && !line.empty() && (line[0] == '-' || line[0] == '*');
  if (!is_number && !is_bullet) return 0;
  ++end;
  return end < line.size() && line[end] == ' ' ? end + 1 : 0;
}

/// The lines that are not blank, without their ends.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (!stripped(line).empty()) lines.push_back(line);
    begin = end + 1;
  }
  return lines;
}

class RankedList : public Verifier {
 public:
  RankedList(const core::Json& json, const std::string& where)
      : RankedList(Params(json, where, {"normalize", "max_items", "reward", "threshold"})) {}

  Verdict verify(const Sample& sample) const override {
    const core::Json none;
    Credits credits;
    try {
      credits = credits_of(sample.columns == nullptr ? none : *sample.columns);
    } catch (const core::UserError& error) {
      return failed(core::str("ranked_list: ", error.what()));
    }
    const std::vector<std::string_view> lines = lines_of(sample.completion);
    if (lines.empty()) return unparsed();
    std::vector<VerdictItem> items;
    std::vector<double> earned;
    std::set<std::string> listed;
    for (const std::string_view line : lines) {
      const std::string name = name_of_line(line);
      const auto found = credits.find(name);
      const bool counts = static_cast<int64_t>(items.size()) < max_items_ &&
                          listed.insert(name).second && found != credits.end();
      earned.push_back(counts ? found->second : 0.0);
      items.push_back({.span = span_of(sample.completion, line), .reward = earned.back()});
    }
    const double reward = std::min(gain(earned) / gain(best_of(credits)), 1.0);
    Verdict verdict = graded(reward >= threshold_);
    verdict.reward = reward;
    verdict.items = std::move(items);
    return verdict;
  }

  void check_row(const core::Json& columns) const override { credits_of(columns); }

 private:
  explicit RankedList(const Params& params)
      : normalize_(params, "normalize", {"lower", "whitespace"}),
        max_items_(params.integer("max_items", 1000, 1, 1000000)),
        discounts_(params.choice("reward", "recall", {"recall", "ndcg"}) == "ndcg"),
        threshold_(params.number("threshold", 1.0, 0.0, 1.0)) {}

  std::string name_of_line(std::string_view line) const {
    const std::string_view text = stripped(line);
    return normalize_(text.substr(marker_length(text)));
  }

  /// Throws core::UserError for a row without items that can be listed.
  Credits credits_of(const core::Json& columns) const {
    const core::Json* items = columns.is_object() ? core::find(columns, kItems) : nullptr;
    Credits credits;
    if (items != nullptr && items->is_array()) {
      for (const core::Json& item : *items)
        if (item.is_string()) credits[normalize_(item.get<std::string>())] = 1.0;
    } else if (items != nullptr && items->is_object()) {
      for (const auto& [name, credit] : items->items()) {
        const double value = core::number_value(credit).value_or(-1.0);
        if (value > 0.0 && value <= 1.0) credits[normalize_(name)] = value;
      }
    }
    credits.erase("");
    const bool is_whole = items != nullptr && items->size() > 0 && credits.size() == items->size();
    if (is_whole) return credits;
    throw core::UserError(core::str(
        "column '",
        kItems,
        "' is ",
        items == nullptr ? "missing" : core::printable(core::dump_ascii(*items)),
        ", expected a list of different texts, or an object of texts and credits above 0, "
        "at most 1 (verifier ranked_list)"));
  }

  double gain(const std::vector<double>& credits) const {
    double sum = 0.0;
    for (size_t k = 0; k < credits.size(); ++k)
      sum += discounts_ ? credits[k] / std::log2(static_cast<double>(k) + 2.0) : credits[k];
    return sum;
  }

  /// As many as a list may hold, the best first.
  std::vector<double> best_of(const Credits& credits) const {
    std::vector<double> best;
    for (const auto& [name, credit] : credits) best.push_back(credit);
    std::sort(best.rbegin(), best.rend());
    best.resize(std::min(best.size(), static_cast<size_t>(max_items_)));
    return best;
  }

  Normalizer normalize_;
  int64_t max_items_;
  bool discounts_;
  double threshold_;
};

SGRPO_REGISTER_VERIFIER("ranked_list", RankedList);

}  // namespace
}  // namespace sgrpo::verifier
