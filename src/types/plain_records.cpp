#include <algorithm>
#include <cmath>

#include "sgrpo/core/check.h"
#include "sgrpo/types/prompt_record.h"
#include "sgrpo/types/step_report.h"
#include "sgrpo/types/verdict.h"

namespace sgrpo {

std::string_view to_string(VerdictStatus status) {
  switch (status) {
    case VerdictStatus::kCorrect: return "correct";
    case VerdictStatus::kIncorrect: return "incorrect";
    case VerdictStatus::kUnparsed: return "unparsed";
    case VerdictStatus::kTimeout: return "timeout";
    case VerdictStatus::kError: return "error";
  }
  return "error";
}

void Verdict::validate() const {
  SGRPO_CHECK(std::isfinite(reward), "reward is ", reward, ", expected a finite number");
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
