#include "verifier/command_answer.h"

#include <optional>
#include <utility>
#include <vector>

#include "sgrpo/core/text.h"

namespace sgrpo::verifier {
namespace {

std::optional<VerdictStatus> status_of(const core::Json& answer) {
  const core::Json* correct = core::find(answer, "correct");
  const core::Json* status = core::find(answer, "status");
  if (correct != nullptr && !correct->is_boolean()) throw BadAnswer{"\"correct\" is no boolean"};
  std::optional<VerdictStatus> result;
  if (correct != nullptr) {
    result = correct->get<bool>() ? VerdictStatus::kCorrect : VerdictStatus::kIncorrect;
  }
  if (status == nullptr) return result;
  const auto known =
      status->is_string() ? verdict_status(status->get<std::string>()) : std::nullopt;
  if (!known || *known == VerdictStatus::kTruncated) {
    throw BadAnswer{"\"status\" is none of correct, incorrect, unparsed, timeout, error"};
  }
  const bool agrees =
      !result || (*result == VerdictStatus::kCorrect) == (*known == VerdictStatus::kCorrect);
  if (!agrees) throw BadAnswer{"\"correct\" and \"status\" contradict each other"};
  return known;
}

/// A text, or a number as it is written; "" if the key is missing.
std::string text_at(const core::Json& answer, const char* key) {
  const core::Json* value = core::find(answer, key);
  if (value == nullptr) return "";
  if (value->is_string()) return value->get<std::string>();
  if (value->is_number()) return core::dump_ascii(*value);
  throw BadAnswer{core::str("\"", key, "\" is no text")};
}

bool is_share(const core::Json* value) {
  return value != nullptr && value->is_number() && value->get<double>() >= 0.0 &&
         value->get<double>() <= 1.0;
}

/// {"begin", "end"} in bytes of the completion.
TextSpan read_span(const core::Json& value, const char* key, size_t size) {
  const core::Json* begin = core::find(value, "begin");
  const core::Json* end = core::find(value, "end");
  const bool has_both = begin != nullptr && begin->is_number_unsigned() && end != nullptr &&
                        end->is_number_unsigned();
  if (has_both && begin->get<uint64_t>() <= end->get<uint64_t>() && end->get<uint64_t>() <= size) {
    return {.begin = begin->get<int64_t>(), .end = end->get<int64_t>()};
  }
  throw BadAnswer{
      core::str("\"", key, "\" has no \"begin\" <= \"end\" in the completion's ", size, " bytes")};
}

std::vector<VerdictItem> read_items(const core::Json& answer, size_t size) {
  std::vector<VerdictItem> items;
  const core::Json* list = core::find(answer, "items");
  if (list == nullptr) return items;
  if (!list->is_array()) throw BadAnswer{"\"items\" is no list"};
  for (const core::Json& item : *list) {
    const core::Json* reward = core::find(item, "reward");
    if (!is_share(reward)) throw BadAnswer{"an item's \"reward\" is no number in [0, 1]"};
    items.push_back({.span = read_span(item, "items", size), .reward = reward->get<double>()});
  }
  return items;
}

}  // namespace

Verdict read_verdict(const core::Json& answer, size_t size) {
  const auto status = status_of(answer);
  const core::Json* reward = core::find(answer, "reward");
  Verdict verdict;
  verdict.answer = text_at(answer, "answer");
  verdict.comment = text_at(answer, "comment");
  verdict.items = read_items(answer, size);
  if (const core::Json* span = core::find(answer, "answer_span"); span != nullptr) {
    verdict.answer_span = read_span(*span, "answer_span", size);
  }
  verdict.status = status.value_or(VerdictStatus::kIncorrect);
  if (!verdict.is_valid()) return verdict;
  if (reward == nullptr) {
    if (!status) throw BadAnswer{"no \"reward\""};
    verdict.reward = verdict.status == VerdictStatus::kCorrect ? 1.0 : 0.0;
    return verdict;
  }
  if (!is_share(reward)) throw BadAnswer{"\"reward\" is no number in [0, 1]"};
  verdict.reward = reward->get<double>();
  if (!status && verdict.reward == 1.0) verdict.status = VerdictStatus::kCorrect;
  return verdict;
}

}  // namespace sgrpo::verifier
