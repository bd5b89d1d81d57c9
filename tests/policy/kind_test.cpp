// Another kind of policy: registered, it is opened by what config.json says, and nothing is edited.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "sgrpo/core/error.h"
#include "sgrpo/policy/kind.h"
#include "testing/scratch.h"
#include "testing/tiny_checkpoint.h"

namespace sgrpo::policy {
namespace {

/// A policy that remembers how it was opened, and does nothing.
class StillPolicy final : public Policy {
 public:
  explicit StillPolicy(const OpenRequest& request)
      : request_(request), device_(at::empty({0}).device()) {}

  const OpenRequest& request() const { return request_; }
  std::string where() const override { return request_.folder->folder().string(); }
  at::Device device() const override { return device_; }
  const std::shared_ptr<const data::PromptEncoder>& encoder() const override { return encoder_; }
  const std::vector<int64_t>& end_token_ids() const override { return ends_; }
  std::string find_bad_id(const std::vector<int64_t>& /*ids*/, bool /*masked*/) const override {
    return "";
  }
  void sample(const std::vector<SamplingRequest>& /*requests*/,
              const GroupSink& /*finished*/) const override {}
  std::vector<PackedBatch> pack(const std::vector<TrainRow>& /*rows*/,
                                const ScoringOptions& /*scoring*/,
                                const Budget& /*budget*/) const override {
    return {};
  }
  Scores score(const PackedBatch& /*batch*/) const override { return {}; }
  ParameterArena& arena() override { return arena_; }
  std::unique_ptr<Policy> frozen_copy() const override { return nullptr; }
  void move_toward(const Policy& /*other*/, double /*keep*/) override {}
  checkpoint::ModelWriter writer() const override { return {}; }
  void load_weights(const std::filesystem::path& /*folder*/,
                    const std::map<std::string, at::Tensor>& /*wide*/,
                    const std::string& /*run*/) override {}

 private:
  OpenRequest request_;
  at::Device device_;
  std::shared_ptr<const data::PromptEncoder> encoder_;
  std::vector<int64_t> ends_;
  ParameterArena arena_;
};

Kind still_kind() {
  return {.architectures = [] { return std::vector<std::string>{"still_life"}; },
          .open = [](const OpenRequest& request) -> std::unique_ptr<Policy> {
            return std::make_unique<StillPolicy>(request);
          },
          .open_reference = [](const ReferenceRequest& request) -> std::unique_ptr<Policy> {
            return std::make_unique<StillPolicy>(
                OpenRequest{.folder = request.folder, .options = request.options});
          }};
}

const bool registered_still_kind = KindRegistry::add("still", still_kind);

class Kinds : public ::testing::Test {
 protected:
  Kinds() {
    testing::write_tiny_checkpoint(folder());
    core::Json config = core::parse_json(core::read_file(folder() / "config.json"), "config.json");
    config["model_type"] = "still_life";
    core::write_file_atomic(folder() / "config.json", config.dump());
  }
  std::filesystem::path folder() const { return scratch_ / "model"; }

  testing::Scratch scratch_;
};

TEST_F(Kinds, config_picks_the_kind_that_opens_a_checkpoint) {
  EncoderLimits limits;
  limits.max_prompt_tokens = 77;
  const auto policy = open(folder(), {}, limits, 12);
  const auto* still = dynamic_cast<const StillPolicy*>(policy.get());
  ASSERT_NE(still, nullptr);
  EXPECT_EQ(still->where(), folder().string());
  EXPECT_EQ(still->request().max_batch_rows, 12);
  EXPECT_EQ(still->request().limits.max_prompt_tokens, 77);
  EXPECT_FALSE(still->request().trains);
}

TEST_F(Kinds, training_and_references_go_through_the_same_door) {
  const auto policy = open_trainable(folder(), {}, {});
  EXPECT_TRUE(dynamic_cast<const StillPolicy&>(*policy).request().trains);
  const auto reference = open_reference(folder(), {}, *policy, true);
  EXPECT_NE(dynamic_cast<const StillPolicy*>(reference.get()), nullptr);
}

TEST_F(Kinds, an_architecture_of_no_kind_is_refused_with_those_of_all) {
  core::Json config = core::parse_json(core::read_file(folder() / "config.json"), "config.json");
  config["model_type"] = "still_live";
  core::write_file_atomic(folder() / "config.json", config.dump());
  const std::string message = testing::message_of<core::UserError>([&] { open(folder(), {}, {}); });
  EXPECT_NE(message.find("config.json: unknown architecture 'still_live' (did you mean "
                         "'still_life'?)"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("known: llama, qwen2, "), std::string::npos) << message;
  EXPECT_NE(message.find(", still_life"), std::string::npos) << message;
}

}  // namespace
}  // namespace sgrpo::policy
