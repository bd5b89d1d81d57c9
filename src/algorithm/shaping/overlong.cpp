// The soft penalty for completions near the limit: 0 up to limit - buffer, then linear, -1 beyond
// the limit; added to the reward. Source: arXiv 2503.14476 (limit 20480, buffer 4096 there).
#include <algorithm>

#include "sgrpo/algorithm/shaping.h"

namespace sgrpo::algorithm {
namespace {

class Overlong final : public Shaper {
 public:
  Overlong(MethodParams& params, const ShapingContext& context)
      : limit_(params.integer("limit", context.max_new_tokens, 1, 1 << 20)),
        buffer_(params.integer("buffer", std::max<int64_t>(limit_ / 5, 1), 1, limit_)) {}

  double shape(const RolloutGroup& /*group*/, const GroupMember& member) const override {
    const auto length = static_cast<int64_t>(member.completion.token_ids.size());
    const int64_t over = length - (limit_ - buffer_);
    const double share = static_cast<double>(over) / static_cast<double>(buffer_);
    return member.reward() - std::clamp(share, 0.0, 1.0);
  }

 private:
  int64_t limit_, buffer_;
};

SGRPO_REGISTER_SHAPER("overlong", Overlong);

}  // namespace
}  // namespace sgrpo::algorithm
