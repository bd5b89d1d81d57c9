// `json_equal`: the completion's JSON equals the ground truth's; key order does not matter.
#include <algorithm>
#include <cmath>
#include <map>

#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/json_text.h"
#include "verifier/normalize.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

using core::Json;

std::map<std::string, const Json*> members(const Json& object) {
  std::map<std::string, const Json*> result;
  for (const auto& [key, value] : object.items()) result[key] = &value;
  return result;
}

__int128 wide(const Json& integer) {
  return integer.is_number_unsigned() ? __int128{integer.get<uint64_t>()}
                                      : __int128{integer.get<int64_t>()};
}

/// 2.0 equals 2.
Json shortest(double number) {
  constexpr double kExactIntegers = 9007199254740992.0;  // 2^53
  if (number != std::trunc(number) || std::abs(number) > kExactIntegers) return number;
  return static_cast<int64_t>(number);
}

class JsonEqual : public Verifier {
 public:
  JsonEqual(const Json& json, const std::string& where)
      : JsonEqual(Params(json, where, {"tolerance", "keys", "normalize", "partial"})) {}

  Verdict verify(const Sample& sample) const override {
    const auto answer = find_json(sample.completion);
    const Verdict verdict = judge(answer, sample.ground_truth);
    if (!answer) return verdict;
    return answered(verdict,
                    core::dump_ascii(sorted(answer->value, keys_)),
                    span_of(sample.completion, answer->text));
  }

 private:
  Verdict judge(const std::optional<FoundJson>& answer, const std::string& ground_truth) const {
    if (ground_truth.empty()) return no_ground_truth("json_equal");
    const auto expected = find_json(ground_truth);
    if (!expected) {
      return failed(
          core::str("json_equal: ground truth '", core::printable(ground_truth), "' is no JSON"));
    }
    if (!answer) return unparsed();
    const double share = matching_share(answer->value, expected->value);
    Verdict verdict = graded(share == 1.0);
    if (is_partial_) verdict.reward = share;
    return verdict;
  }

  explicit JsonEqual(const Params& params)
      : tolerance_(params.number("tolerance", 0.0, 0.0)),
        keys_(params.texts("keys", {})),
        normalize_(params, "normalize", {"none"}),
        is_partial_(params.flag("partial", false)) {}

  /// Share of the top-level members (or list items) that are equal; 1 or 0 for other values.
  double matching_share(const Json& answer, const Json& expected) const {
    if (answer.is_object() && expected.is_object()) {
      return share_of_members(members(answer), members(expected));
    }
    if (!keys_.empty()) return 0.0;
    if (answer.is_array() && expected.is_array()) {
      const size_t total = std::max(answer.size(), expected.size());
      size_t num_equal = 0;
      for (size_t i = 0; i < std::min(answer.size(), expected.size()); ++i) {
        num_equal += equal(answer[i], expected[i]);
      }
      return total == 0 ? 1.0 : static_cast<double>(num_equal) / static_cast<double>(total);
    }
    return equal(answer, expected) ? 1.0 : 0.0;
  }

  double share_of_members(const std::map<std::string, const Json*>& answer,
                          const std::map<std::string, const Json*>& expected) const {
    std::vector<std::string> keys = keys_;
    if (keys.empty()) {
      for (const auto& [key, value] : expected) keys.push_back(key);
      for (const auto& [key, value] : answer) {
        if (expected.count(key) == 0) keys.push_back(key);
      }
    }
    size_t num_equal = 0;
    for (const std::string& key : keys) {
      const auto left = answer.find(key), right = expected.find(key);
      if (left == answer.end() || right == expected.end()) continue;
      num_equal += equal(*left->second, *right->second);
    }
    return keys.empty() ? 1.0 : static_cast<double>(num_equal) / static_cast<double>(keys.size());
  }

  /// What is compared of a value, members in the order of their names; of the outermost object
  /// those of `keys` alone, unless that is empty.
  Json sorted(const Json& value, const std::vector<std::string>& keys) const {
    if (value.is_string()) return normalize_(value.get<std::string>());
    if (value.is_number_float()) return shortest(value.get<double>());
    Json result = value;
    if (value.is_array()) {
      for (Json& item : result) item = sorted(item, {});
    }
    if (!value.is_object()) return result;
    result = Json::object();
    for (const auto& [key, member] : members(value)) {
      const bool is_compared =
          keys.empty() || std::find(keys.begin(), keys.end(), key) != keys.end();
      // Past the look-up that every other way in makes: these names differ.
      if (is_compared) result.get_ref<Json::object_t&>().push_back({key, sorted(*member, {})});
    }
    return result;
  }

  bool equal(const Json& a, const Json& b) const {
    if (a.is_number() && b.is_number()) return numbers_equal(a, b);
    if (a.is_string() && b.is_string()) {
      return normalize_(a.get<std::string>()) == normalize_(b.get<std::string>());
    }
    if (a.is_array() && b.is_array()) {
      return a.size() == b.size() &&
             std::equal(a.begin(), a.end(), b.begin(), [this](const Json& x, const Json& y) {
               return equal(x, y);
             });
    }
    if (!a.is_object() || !b.is_object()) return a == b;
    const auto left = members(a), right = members(b);
    return left.size() == right.size() &&
           std::equal(
               left.begin(), left.end(), right.begin(), [this](const auto& x, const auto& y) {
                 return x.first == y.first && equal(*x.second, *y.second);
               });
  }

  bool numbers_equal(const Json& a, const Json& b) const {
    if (a.is_number_integer() && b.is_number_integer() && wide(a) == wide(b)) return true;
    const bool are_integers = a.is_number_integer() && b.is_number_integer();
    if (are_integers && tolerance_ == 0.0) return false;
    // A decimal tolerance has no exact double: 0.3 - 0.2 exceeds 0.1 by rounding alone.
    const double x = a.get<double>(), y = b.get<double>();
    const double rounding = 4e-16 * std::max(std::abs(x), std::abs(y));
    return x == y || (tolerance_ > 0.0 && std::abs(x - y) <= tolerance_ + rounding);
  }

  double tolerance_;
  std::vector<std::string> keys_;
  Normalizer normalize_;
  bool is_partial_;
};

SGRPO_REGISTER_VERIFIER("json_equal", JsonEqual);

}  // namespace
}  // namespace sgrpo::verifier
