// Typed wrappers of our operators: all that other rooms see of kernels.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>

#include <ATen/core/Tensor.h>

#include "sgrpo/ops/attention_plan.h"
#include "sgrpo/ops/deviation.h"

namespace sgrpo::ops {

/// Attention of packed segments: every query row sees its segment's prefix keys and its own keys.
/// Serves training (prompt tries), the vision tower (windows, not causal) and decoding (caches)
/// alike. The plan lies on q's device.
/// Shapes:  q [Tq,H,E], k [Tk,K,E], v [Tk,K,E] (H multiple of K; rows may be strided) -> [Tq,H,E]
/// Formula: softmax(scale q k^T) v over the visible keys, accumulated in f32
/// Edge:    no visible key is impossible by construction (a segment's own keys are never none)
/// Throws:  c10::ValueError for shapes, another number of queries than the plan's, fewer keys
at::Tensor segment_attention(const at::Tensor& q,
                             const at::Tensor& k,
                             const at::Tensor& v,
                             const AttentionPlan& plan,
                             double scale);

/// Log-probabilities and entropies of labels under softmax(hidden weight^T / temperature), the full
/// distribution. Shapes:  hidden [M,D], weight [V,D], labels [M] i64, masked_ids [Z] i64 (ids that
/// get -inf; may be empty)
///          -> logprobs [M] f32, entropy [M] f32 (nats)
/// Memory:  logits exist for one chunk of rows at a time, in forward and backward
/// Backward: gradients to hidden and weight from both outputs
std::tuple<at::Tensor, at::Tensor> linear_logprob(const at::Tensor& hidden,
                                                  const at::Tensor& weight,
                                                  const at::Tensor& labels,
                                                  const at::Tensor& masked_ids,
                                                  double temperature);

/// What a member's verdict means to its group: values of `status`.
enum class MemberStatus : uint8_t { kCorrect = 0, kFailed = 1, kNotJudged = 2, kNobody = 3 };

/// Which groups get the ground truth, and how.
struct GroupInjection {
  at::Tensor victim_score;    // [P,G] f64: the lowest is replaced, who was not judged before others
  at::Tensor may_inject;      // [P] bool; a group without a judged member is left alone
  at::Tensor gt_reward;       // [P] f64
  bool only_all_fail = true;  // of those that may, groups without a correct member
  bool appends = false;       // behind the last member instead of in a member's place
  double fail_weight = 1.0;   // multiplies negative advantages of injected groups
  bool smoothing = false;     // a member as good as the ground truth gives it the members' mean
};

struct GroupAdvantages {
  at::Tensor advantages;  // [P,G+1] f64, the injected group's; 0 for whoever was not judged
  at::Tensor victim;      // [P] i32, where the ground truth stands; -1: nowhere
  at::Tensor kind;  // [P] u8 before injection: 0 all_fail, 1 all_pass, 2 mixed, 3 nobody judged
};

/// Injection and group-relative advantages in one launch.
/// Shapes:  rewards [P,G] f64, status [P,G] u8 (places of nobody last)
/// Formula: of `formula` over judged members and the ground truth, in member order, in f64: the
/// same
///          bits on every device
GroupAdvantages group_advantage(const at::Tensor& rewards,
                                const at::Tensor& status,
                                const GroupFormula& formula,
                                const std::optional<GroupInjection>& injection = std::nullopt);

/// Whether rewards between `lowest` and `highest` differ: by more than min_spread and by more than
/// rounding, 1e-12 max(1, |highest|). The one rule for advantages, filters and metrics.
bool has_spread(double lowest, double highest, double min_spread);

/// How tokens are drawn.
struct SampleOptions {
  double temperature = 1.0;  // divides the logits
  double top_p = 1.0;
  int64_t top_k = 0;
  bool greedy = false;  // the largest logit, the lowest id on ties
};

/// What was drawn, one entry a row.
struct SampledTokens {
  at::Tensor ids;       // [B] i64
  at::Tensor logprobs;  // [B] f32, nats, under the full (masked, tempered) distribution
  at::Tensor entropy;   // [B] f32, nats, of that distribution
};

/// Samples one token per row. top_k, then top_p restrict the choice (ties at the border stay),
/// never the reported log-probability.
/// Shapes:  logits [B,V] f32, uniform [B] f64 in [0,1), masked_ids [Z] i64 -> [B] each, on the CPU
SampledTokens sample_tokens(const at::Tensor& logits,
                            const at::Tensor& uniform,
                            const at::Tensor& masked_ids,
                            const SampleOptions& options);

/// Rows of a table. The gradient of the table is summed in f32 and is f32, whatever its type.
/// Shapes:  weight [V,D], ids [...] i64 -> [..., D]
at::Tensor embed(const at::Tensor& weight, const at::Tensor& ids);

/// Root-mean-square norm of rows.
/// Shapes:  x [..., D], weight [D] -> [..., D] of x's dtype
/// Formula: x / sqrt(mean(x^2) + eps), in f32, cast to x's dtype, times weight
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

/// Rotary embedding.
/// Shapes:  x [T, heads, E], cos and sin [T, E/2] f32 -> [T, heads, E] of x's dtype
/// Formula: (x_i, x_{i+E/2}) -> (x_i c - x_{i+E/2} s, x_{i+E/2} c + x_i s), in f32
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

/// silu(gate) * up. Shapes: [N, F], [N, F] -> [N, F].
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

}  // namespace sgrpo::ops
