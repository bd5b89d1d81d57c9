#include "cli/row_files.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sgrpo/checkpoint/safetensors.h"
#include "testing/tiny_policy.h"

namespace sgrpo::cli {
namespace {

using core::Json;
using testing::TinyPolicy;

GenerateOptions options_of(int64_t max_new_tokens, int64_t group_size) {
  GenerateOptions options;
  options.group_size = group_size;
  options.sampling.max_new_tokens = max_new_tokens;
  return options;
}

class GenerateFile : public ::testing::Test {
 protected:
  policy::LanguagePolicy& policy() const { return TinyPolicy::instance().policy(); }
  std::vector<Json> generate(const std::vector<Json>& rows, const GenerateOptions& options) {
    const testing::LogCapture quiet;
    scratch_.write("in.jsonl", testing::to_jsonl(rows));
    num_bad_ = generate_file(policy(), scratch_ / "in.jsonl", scratch_ / "out.jsonl", options);
    return testing::read_jsonl(scratch_ / "out.jsonl");
  }
  std::vector<Json> logprobs(const std::vector<Json>& rows, const LogprobOptions& options = {}) {
    const testing::LogCapture quiet;
    scratch_.write("in.jsonl", testing::to_jsonl(rows));
    num_bad_ = logprobs_file(policy(), scratch_ / "in.jsonl", scratch_ / "out.jsonl", options);
    return testing::read_jsonl(scratch_ / "out.jsonl");
  }
  testing::Scratch scratch_;
  int64_t num_bad_ = 0;
};

TEST_F(GenerateFile, rows_have_the_documented_columns_in_order) {
  const auto rows =
      generate({{{"id", "a"}, {"prompt", "what"}}, {{"prompt", "which"}}}, options_of(5, 2));
  ASSERT_EQ(rows.size(), 4U);
  const std::vector<std::string> ids = {"a", "a", "2", "2"};
  for (size_t i = 0; i < 4; ++i) {
    std::vector<std::string> names;
    for (const auto& [name, value] : rows[i].items()) names.push_back(name);
    EXPECT_EQ(names,
              (std::vector<std::string>{
                  "id", "index", "completion", "completion_ids", "logprobs", "finish_reason"}));
    EXPECT_EQ(rows[i].at("id"), ids[i]) << "a row without id is known by its line";
    EXPECT_EQ(rows[i].at("index"), i % 2);
    EXPECT_EQ(rows[i].at("completion_ids").size(), rows[i].at("logprobs").size());
  }
  EXPECT_EQ(num_bad_, 0);
}

TEST_F(GenerateFile, ends_where_the_file_says_and_tells_that_the_turn_end_is_not_among_it) {
  testing::write_tiny_checkpoint(scratch_ / "model", {});
  Json every_id = Json::array();  // of text, but for the turn end
  for (int id = 7; id < 400; ++id) every_id.push_back(id);
  scratch_.write("model/generation_config.json", Json{{"eos_token_id", every_id}}.dump());
  const auto base = policy::open(scratch_ / "model", {}, {});
  scratch_.write("in.jsonl", testing::to_jsonl({{{"id", "a"}, {"prompt", "what"}}}));
  const testing::LogCapture log;
  generate_file(*base, scratch_ / "in.jsonl", scratch_ / "out.jsonl", options_of(8, 64));
  for (const Json& row : testing::read_jsonl(scratch_ / "out.jsonl")) {
    const auto ids = row.at("completion_ids").get<std::vector<int64_t>>();
    for (size_t t = 0; t + 1 < ids.size(); ++t) EXPECT_LT(ids[t], 7) << "nothing follows an end";
    EXPECT_EQ(row.at("finish_reason") == "stop", ids.back() >= 7);
  }
  EXPECT_EQ(
      scratch_.shorten(log.text()),
      "model: eos_token_id (generation_config.json, else config.json) leaves out the turn end "
      "2, with which a trained completion ends: completions go on after it\n");
}

TEST_F(GenerateFile, completions_scored_again_have_the_samplers_logprobs) {
  const std::vector<Json> prompts = {{{"id", "a"}, {"prompt", "what"}},
                                     {{"id", "b"}, {"prompt", "which item is this"}}};
  GenerateOptions tempered = options_of(20, 1);
  tempered.sampling.temperature = 0.8;
  const auto sampled = generate(prompts, tempered);
  std::vector<Json> given;
  for (size_t i = 0; i < 2; ++i) {
    given.push_back(prompts[i]);
    given.back()["completion_ids"] = sampled[i].at("completion_ids");
  }
  const auto scored =
      logprobs(given, {.temperature = 0.8, .use_sampling_mask = true, .grad = std::nullopt});
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(scored[i].at("completion_ids"), sampled[i].at("completion_ids"));
    for (size_t t = 0; t < sampled[i].at("logprobs").size(); ++t)
      EXPECT_NEAR(scored[i].at("logprobs")[t].get<double>(),
                  sampled[i].at("logprobs")[t].get<double>(),
                  1e-5);
    for (const Json& entropy : scored[i].at("entropy")) {
      EXPECT_GT(entropy.get<double>(), 0.0);
      EXPECT_LT(entropy.get<double>(), std::log(408.0));
    }
  }
}

TEST_F(GenerateFile, text_gets_the_turn_end_and_ids_stay_as_given) {
  const auto rows = logprobs({{{"id", "a"}, {"prompt", "what"}, {"completion", "bag"}},
                              {{"id", "b"}, {"prompt", "what"}, {"completion_ids", {30}}}});
  EXPECT_EQ(rows[0].at("completion_ids").back(), 2);
  EXPECT_EQ(rows[1].at("completion_ids"), Json({30}));
  EXPECT_EQ(rows[0].at("prompt_ids"), rows[1].at("prompt_ids"));
}

TEST_F(GenerateFile, every_bad_row_of_logprobs_gives_an_error_row_and_the_good_ones_are_written) {
  const auto bad = [](const std::string& id, const std::string& key, const Json& value) {
    return Json{{"id", id}, {"prompt", "what"}, {key, value}};
  };
  const auto rows = logprobs({bad("none", "other", 1),
                              bad("text", "completion_ids", "30"),
                              bad("float", "completion_ids", {30, 1.5}),
                              bad("empty", "completion_ids", Json::array()),
                              bad("large", "completion_ids", {30, 408}),
                              bad("negative", "completion_ids", {-1}),
                              bad("image", "completion_ids", {5}),
                              bad("pad", "completion", "a <|video_pad|>"),
                              bad("good", "completion", "bag")});
  ASSERT_EQ(rows.size(), 9U);
  EXPECT_EQ(num_bad_, 8);
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"none", "the row has no 'completion' to score"},
      {"text", "the row: 'completion_ids' is a string, expected a list of integers"},
      {"float", "the row: 'completion_ids' is 1.5, expected an integer"},
      {"empty", "'completion_ids' is an empty list"},
      {"large", "the completion holds token id 408, expected 0..407"},
      {"negative", "the completion holds token id -1, expected 0..407"},
      {"image", "the completion holds token id 5, an image or video placeholder"},
      {"pad", "the completion holds token id 6, an image or video placeholder"}};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(rows[i].at("id"), expected[i].first);
    const std::string error = rows[i].at("error").get<std::string>();
    EXPECT_EQ(error.find(expected[i].second), 0U) << error;
  }
  EXPECT_EQ(rows[8].at("id"), "good");
}

TEST_F(GenerateFile, gradient_is_that_of_the_mean_negative_log_likelihood) {
  const Json row = {{"id", "a"}, {"prompt", "what is"}, {"completion", "a bag"}};
  const auto scored = logprobs(
      {row}, {.temperature = 1.0, .use_sampling_mask = false, .grad = scratch_ / "g.safetensors"});
  const checkpoint::SafetensorsFile file(scratch_ / "g.safetensors");
  EXPECT_EQ(file.entries().size(), policy().model().parameters().size());
  const auto mean_nll = [&] {
    double sum = 0.0;
    const auto again = logprobs({row});
    for (const Json& value : again[0].at("logprobs")) sum -= value.get<double>();
    return sum / static_cast<double>(again[0].at("logprobs").size());
  };
  // A central difference along the gradient itself, in f32: error of order 1e-3 of its norm.
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  const at::Tensor grad = file.read(name);
  const double norm = grad.norm().item<double>();
  for (const model::Parameter& parameter : policy().model().parameters()) {
    if (parameter.name != name) continue;
    const at::NoGradGuard no_grad;
    at::Tensor weight = parameter.tensor;
    const at::Tensor step = grad * (1e-2 / norm);
    weight.add_(step);
    const double above = mean_nll();
    weight.sub_(step, 2);
    const double below = mean_nll();
    weight.add_(step);
    EXPECT_NEAR((above - below) / 2e-2, norm, 2e-2 * norm);
  }
  for (const model::Parameter& parameter : policy().model().parameters())
    at::Tensor(parameter.tensor).mutable_grad().reset();
  EXPECT_EQ(
      testing::message_of<core::UserError>([&] {
        logprobs({row, row},
                 {.temperature = 1.0, .use_sampling_mask = false, .grad = "g.safetensors"});
      }),
      core::str(
          "--grad needs exactly one input row, ", (scratch_ / "in.jsonl").string(), " has 2"));
}

TEST_F(GenerateFile, output_that_cannot_be_written_is_an_error_of_the_run) {
  scratch_.write("in.jsonl", testing::to_jsonl({{{"prompt", "a"}}}));
  const std::string path = (scratch_ / "no" / "out.jsonl").string();
  EXPECT_EQ(testing::message_of<core::RunError>(
                [&] { generate_file(policy(), scratch_ / "in.jsonl", path, {}); }),
            "cannot write " + path + ": No such file or directory");
}

}  // namespace
}  // namespace sgrpo::cli
