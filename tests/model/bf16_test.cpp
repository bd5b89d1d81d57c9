// Computing in bfloat16: no further from float32 than transformers in bfloat16, for every family.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>

#include "model/family_golden.h"
#include "testing/expect_close.h"

namespace sgrpo::model {
namespace {

using sgrpo::testing::GoldenTensors;

/// Two programs that round as often, but elsewhere, stray by errors of one size in other
/// directions. The ratio of the norms of two random vectors of n numbers has the distribution of
/// sqrt(F(n, n)): above 2 once in a million times for the 190 and more numbers of hidden states,
/// and above 3 once in two hundred for the seven log-probabilities of a completion.
constexpr double kAsFar = 2.0, kAsFarForFew = 3.0;

/// The golden of a family and what transformers makes of it with weights rounded to bfloat16
/// (tests/golden/model/make_bf16_goldens.py).
class Bf16 : public ::testing::TestWithParam<const char*> {
 protected:
  struct Case {
    std::string name;
    PackedTokens input;
    int64_t prompt_length = 0;
  };

  Bf16() {
    if (std::string(GetParam()) == "qwen2_5_vl") {
      checkpoint_ = Checkpoint::golden();
      for (const char* name : {"text", "image", "images"}) {
        const GoldenCase golden = golden_case(name);
        cases_.push_back({name, golden.input, golden.prompt_length});
      }
    } else {
      const FamilyGolden golden(GetParam());
      checkpoint_ = golden.checkpoint;
      for (const std::string& name : golden.cases)
        cases_.push_back({name, golden.input(name), golden.prompt_length(name)});
    }
    for (auto& [name, tensor] : checkpoint_.tensors)
      tensor = tensor.to(at::kBFloat16).to(at::kFloat);
  }

  double error_of_transformers(const std::string& what) const {
    return expected_.at("error/" + what).item<double>();
  }

  Checkpoint checkpoint_;
  std::vector<Case> cases_;
  const GoldenTensors expected_{std::string(SGRPO_TESTS_DIR) + "/golden/model/" + GetParam() +
                                "/bf16.safetensors"};
};

/// |got - expected| / |expected| of several tensors taken as one vector.
class RelativeError {
 public:
  void add(const at::Tensor& got, const at::Tensor& expected) {
    const at::Tensor truth = expected.detach().to(at::kDouble);
    difference_ += (got.detach().to(at::kDouble) - truth).square().sum().item<double>();
    size_ += truth.square().sum().item<double>();
  }
  double value() const { return std::sqrt(difference_ / size_); }

 private:
  double difference_ = 0.0, size_ = 0.0;
};

TEST_P(Bf16, strays_from_float32_no_further_than_transformers) {
  const auto model = checkpoint_.load(cpu_options(), at::kBFloat16);
  std::map<std::string, RelativeError> errors;
  for (const Case& each : cases_) {
    const at::Tensor hidden = model->forward(each.input);
    EXPECT_EQ(hidden.scalar_type(), at::kBFloat16);
    errors["hidden"].add(hidden, expected_.at(each.name + "/hidden"));
    const auto [logprobs, entropy] = scores(*model, each.input, each.prompt_length);
    EXPECT_EQ(logprobs.scalar_type(), at::kFloat);
    errors["logprobs"].add(logprobs, expected_.at(each.name + "/logprobs"));
    errors["entropy"].add(entropy, expected_.at(each.name + "/entropy"));
  }
  for (const auto& [what, error] : errors) {
    RecordProperty(what, std::to_string(error.value()));
    const double factor = what == "hidden" ? kAsFar : kAsFarForFew;
    EXPECT_LE(error.value(), factor * error_of_transformers(what)) << what;
  }
}

TEST_P(Bf16, float32_with_rounded_weights_is_the_truth) {
  const auto model = checkpoint_.load();
  for (const Case& each : cases_) {
    sgrpo::testing::expect_close(
        model->forward(each.input), expected_.at(each.name + "/hidden"), 2e-5, each.name);
  }
}

TEST_P(Bf16, gradients_stray_no_further_than_those_of_transformers) {
  std::vector<std::vector<std::pair<std::string, at::Tensor>>> both;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto model = checkpoint_.load(cpu_options(), dtype);
    for (const Case& each : cases_)
      std::get<0>(scores(*model, each.input, each.prompt_length)).mean().neg().backward();
    both.push_back(gradients(*model));
  }
  RelativeError error;
  for (size_t i = 0; i < both[0].size(); ++i) {
    const auto& [name, grad] = both[1][i];
    ASSERT_TRUE(grad.defined()) << name;
    EXPECT_EQ(grad.scalar_type(), at::kFloat) << name;
    EXPECT_TRUE(at::isfinite(grad).all().item<bool>()) << name;
    error.add(grad, both[0][i].second);
  }
  RecordProperty("grad", std::to_string(error.value()));
  EXPECT_LE(error.value(), kAsFar * error_of_transformers("grad"));
}

/// Gradients of the sum over `rows` copies of a case's completion, in one pass or one pass each.
std::vector<std::pair<std::string, at::Tensor>> summed_gradients(const Model& model,
                                                                 const PackedTokens& input,
                                                                 int64_t rows,
                                                                 bool is_one_pass) {
  const int64_t tokens = input.num_tokens();
  const auto repeat = [&](const at::Tensor& t) {
    return at::cat(std::vector<at::Tensor>(static_cast<size_t>(rows), t));
  };
  PackedTokens packed = input;
  if (is_one_pass) {
    packed.token_ids = repeat(input.token_ids);
    packed.position_ids = input.position_ids.repeat({1, rows});
    packed.pixel_values = repeat(input.pixel_values);
    packed.grid_thw = repeat(input.grid_thw);
    const at::Tensor begin = at::arange(rows, at::kLong).view({rows, 1}) * tokens;
    packed.image_rows = (begin + input.image_rows).flatten();
    packed.plan = ops::AttentionPlan::of_lengths(
        std::vector<int64_t>(static_cast<size_t>(rows), tokens), /*causal=*/true);
  }
  for (int64_t pass = 0; pass < (is_one_pass ? 1 : rows); ++pass) {
    const at::Tensor hidden = model.forward(packed);
    std::get<0>(
        ops::linear_logprob(
            hidden, model.output_weight(), packed.token_ids, at::empty({0}, at::kLong), 1.0))
        .mean()
        .neg()
        .mul(is_one_pass ? static_cast<double>(rows) : 1.0)
        .backward();
  }
  return gradients(model);
}

// `rows` passes give the same gradient each, so that their sum in float32 is off by less than one
// rounding an addition. One pass adds up inside its products, in float32 too, and rounds once where
// a weight is used once: 2^-8 of a number on either side; a tied weight is used twice.
TEST_P(Bf16, gradients_do_not_depend_on_the_number_of_passes) {
  constexpr int64_t kRows = 24;
  const PackedTokens& input = cases_.front().input;
  const auto first = checkpoint_.load(cpu_options(), at::kBFloat16),
             second = checkpoint_.load(cpu_options(), at::kBFloat16);
  const auto third = checkpoint_.load(cpu_options(), at::kBFloat16);
  const auto single = summed_gradients(*first, input, 1, true);
  const auto many = summed_gradients(*second, input, kRows, false);
  const auto together = summed_gradients(*third, input, kRows, true);
  RelativeError apart;
  for (size_t i = 0; i < single.size(); ++i) {
    const auto& [name, grad] = single[i];
    if (!grad.defined()) continue;
    const at::Tensor off = (many[i].second - kRows * grad).abs();
    const double bound = static_cast<double>(kRows) * std::ldexp(1.0, -24);
    EXPECT_TRUE(at::all(off <= bound * kRows * grad.abs()).item<bool>()) << name;
    apart.add(together[i].second, many[i].second);
  }
  RecordProperty("apart", std::to_string(apart.value()));
  EXPECT_LE(apart.value(), 2 * std::ldexp(1.0, -8));
}

TEST_P(Bf16, a_cache_of_bfloat16_gives_hidden_states_as_good_as_one_pass) {
  const auto model = checkpoint_.load(cpu_options(), at::kBFloat16);
  const at::NoGradGuard guard;
  RelativeError error;
  for (const Case& each : cases_) {
    const int64_t length = each.prompt_length, total = each.input.num_tokens();
    PackedTokens prompt = each.input;
    prompt.token_ids = prompt.token_ids.slice(0, 0, length);
    prompt.position_ids = prompt.position_ids.slice(1, 0, length);
    prompt.plan = one_segment(length);
    KvCache cache = model->make_cache(total);
    EXPECT_EQ(cache.keys.front().scalar_type(), at::kBFloat16);
    std::vector<at::Tensor> rows = {model->forward_cached(prompt, at::arange(length), cache)};
    for (int64_t t = length; t < total; ++t) {
      const PackedTokens step{.token_ids = each.input.token_ids.slice(0, t, t + 1),
                              .position_ids = each.input.position_ids.slice(1, t, t + 1),
                              .pixel_values = at::empty({0, 0}),
                              .grid_thw = at::empty({0, 3}, at::kLong),
                              .image_rows = {},
                              .plan = step_plan(length, length, t + 1)};
      rows.push_back(model->forward_cached(step, at::full({1}, t, at::kLong), cache));
    }
    error.add(at::cat(rows), expected_.at(each.name + "/hidden"));
  }
  EXPECT_LE(error.value(), kAsFar * error_of_transformers("hidden"));
}

// Attention sees differences of positions only. Angles in bfloat16 would make positions 6000 to
// 6031 one and the same; in float32 they are off by 6000 * 2^-24 = 4e-4.
TEST_P(Bf16, rotary_angles_are_float32_far_out) {
  const auto model = checkpoint_.load(cpu_options(), at::kBFloat16);
  RelativeError error;
  for (Case each : cases_) {
    each.input.position_ids = each.input.position_ids + 6000;
    error.add(model->forward(each.input), expected_.at(each.name + "/hidden"));
  }
  EXPECT_LE(error.value(), kAsFar * error_of_transformers("hidden"));
}

INSTANTIATE_TEST_SUITE_P(
    All,
    Bf16,
    ::testing::Values("qwen2", "qwen3", "llama", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"),
    [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace sgrpo::model
