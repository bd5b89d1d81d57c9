// What a verifier says about one completion.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sgrpo {

/// kTruncated: cut at the length limit and, by `verifier.truncated: mask`, not judged.
enum class VerdictStatus { kCorrect, kIncorrect, kUnparsed, kTimeout, kError, kTruncated };

/// correct, incorrect, unparsed, timeout, error, truncated
std::string_view to_string(VerdictStatus status);

/// The status of that name; nothing if there is none.
std::optional<VerdictStatus> verdict_status(std::string_view name);

/// Bytes [begin, end) of a completion's text.
struct TextSpan {
  int64_t begin = 0, end = 0;
  bool operator==(const TextSpan&) const = default;
};

/// A part of a completion with a reward of its own.
struct VerdictItem {
  TextSpan span;
  double reward = 0.0;  // in [0,1]
};

/// The verdict on one completion. Members that were not judged (kTimeout, kError, kTruncated) are
/// masked: no part in mean, deviation or loss.
struct Verdict {
  /// Sampled members: in [0,1] from verifiers; any finite number from recorded rewards
  double reward = 0.0;
  VerdictStatus status = VerdictStatus::kIncorrect;
  std::map<std::string, double> breakdown = {};  // reward per verifier, when several are combined
  std::map<std::string, double> weights = {};    // of these rewards, as written; none = 1
  std::string answer = {};  // the form in which the verifier compares; "" = no answer was read
  std::optional<TextSpan> answer_span = {};  // where the answer stands, if it has a place
  std::vector<VerdictItem> items = {};       // in the order of the verifier
  std::string comment = {};                  // what the verifier wants to say about it

  bool is_valid() const {
    return status != VerdictStatus::kTimeout && status != VerdictStatus::kError &&
           status != VerdictStatus::kTruncated;
  }
  /// Throws ContractError if a reward is not finite or a span runs backwards.
  void validate() const;
};

}  // namespace sgrpo
