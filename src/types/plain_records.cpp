#include <algorithm>
#include <array>
#include <cmath>

#include "sgrpo/core/check.h"
#include "sgrpo/types/non_finite.h"
#include "sgrpo/types/prompt_record.h"
#include "sgrpo/types/step_report.h"
#include "sgrpo/types/verdict.h"

namespace sgrpo {

namespace {
constexpr std::array<std::string_view, 6> kStatusNames = {
    "correct", "incorrect", "unparsed", "timeout", "error", "truncated"};
}  // namespace

std::string_view to_string(VerdictStatus status) {
  return kStatusNames.at(static_cast<size_t>(status));
}

std::optional<VerdictStatus> verdict_status(std::string_view name) {
  const auto found = std::find(kStatusNames.begin(), kStatusNames.end(), name);
  if (found == kStatusNames.end()) return std::nullopt;
  return static_cast<VerdictStatus>(found - kStatusNames.begin());
}

void Verdict::validate() const {
  if (!std::isfinite(reward))
    throw NonFiniteError(core::str("reward is ", reward, ", expected a finite number"));
  const auto check = [](const TextSpan& span, const char* what) {
    SGRPO_CHECK(0 <= span.begin && span.begin <= span.end,
                what,
                " is [",
                span.begin,
                ", ",
                span.end,
                "), expected a span of the completion");
  };
  if (answer_span) check(*answer_span, "answer_span");
  for (const VerdictItem& item : items) {
    check(item.span, "an item's span");
    if (!std::isfinite(item.reward))
      throw NonFiniteError(core::str("an item's reward is ", item.reward));
  }
}

void PromptRecord::validate() const {
  size_t parts = 0;
  for (const Message& message : messages) {
    SGRPO_CHECK(message.role == "system" || message.role == "user" || message.role == "assistant",
                "role is '",
                message.role,
                "', expected system, user or assistant");
    for (const ContentPart& part : message.content) parts += part.kind == ContentPart::Kind::kImage;
  }
  SGRPO_CHECK(
      parts == images.size(), "prompt has ", parts, " image parts and ", images.size(), " images");
}

namespace {
template <class Values>
auto locate(Values& values, const std::string& name) {
  return std::find_if(
      values.begin(), values.end(), [&](const auto& entry) { return entry.first == name; });
}
}  // namespace

void StepReport::set(const std::string& name, double value) {
  const auto found = locate(values_, name);
  if (found == values_.end()) {
    values_.emplace_back(name, value);
  } else {
    found->second = value;
  }
}

void StepReport::add(const std::string& name, double value) { set(name, get(name) + value); }

double StepReport::get(const std::string& name, double fallback) const {
  const auto found = locate(values_, name);
  return found == values_.end() ? fallback : found->second;
}

bool StepReport::has(const std::string& name) const {
  return locate(values_, name) != values_.end();
}

void StepReport::merge(const StepReport& other) {
  for (const auto& [name, value] : other.values_) set(name, value);
}

}  // namespace sgrpo
