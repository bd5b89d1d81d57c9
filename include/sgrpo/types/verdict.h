// What a verifier says about one completion.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace sgrpo {

enum class VerdictStatus { kCorrect, kIncorrect, kUnparsed, kTimeout, kError };

/// correct, incorrect, unparsed, timeout, error
std::string_view to_string(VerdictStatus status);

/// The verdict on one completion. kTimeout and kError members are masked: no part in mean,
/// deviation or loss.
struct Verdict {
  double reward =
      0.0;  // sampled members: in [0,1] from verifiers; any finite number from recorded rewards
  VerdictStatus status = VerdictStatus::kIncorrect;
  std::map<std::string, double> breakdown;  // reward per verifier, when several are combined

  bool is_valid() const {
    return status != VerdictStatus::kTimeout && status != VerdictStatus::kError;
  }
  /// Throws ContractError if the reward is not finite.
  void validate() const;
};

}  // namespace sgrpo
