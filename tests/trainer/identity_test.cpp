// What a resume may find changed, and what follows from it.
#include "trainer/identity.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sgrpo/trainer/load_config.h"
#include "testing/scratch.h"

namespace sgrpo::trainer {
namespace {

using core::Json;
using Overrides = std::vector<std::string>;

const std::map<std::string, Content> kContents = {
    {"model.path", {"/m", "aa"}}, {"model.tokenizer", {"/m", "bb"}}, {"data.train", {"/d", "cc"}}};

Json identity(const Overrides& overrides,
              Task task = Task::kPolicyGradient,
              const std::map<std::string, Content>& contents = kContents) {
  return make_identity(load_run_config({}, overrides), task, contents);
}

std::vector<std::string> changed(const Json& before, const Json& after) {
  std::vector<std::string> texts;
  for (const Change& change : changes_between(before, after, identity({})))
    texts.push_back(change.text);
  return texts;
}

std::vector<std::string> changed(const Overrides& overrides) {
  return changed(identity({}), identity(overrides));
}

using Texts = std::vector<std::string>;

TEST(Identity, same_configuration_changes_nothing) {
  EXPECT_EQ(changed(Overrides{}), Texts{});
  EXPECT_EQ(identity({}).at("model.path"), (Json{{"path", "/m"}, {"sha256", "aa"}}));
  EXPECT_EQ(identity({}, Task::kSft).at("task"), "sft");
}

TEST(Identity, every_ruled_key_is_a_key_of_a_run) {
  const Json all = identity({});
  for (const std::string& key : ruled_keys()) {
    bool is_known = false;
    for (const auto& [name, value] : all.items())
      is_known = is_known || name == key || core::starts_with(name, key + ".");
    EXPECT_TRUE(is_known) << key;
  }
}

TEST(Identity, settings_are_listed_and_harmless_ones_are_not) {
  EXPECT_EQ(changed({"optim.lr=1e-5",
                     "trainer.steps=200",
                     "trainer.keep_last=7",
                     "output_dir=x",
                     "distributed.timeout_s=7",
                     "rollout.group_size=4"}),
            (Texts{"rollout.group_size: 8 -> 4", "optim.lr: 1e-06 -> 1e-05"}));
  EXPECT_EQ(changed({"verifier.params={tolerance: 1}"}),
            (Texts{"verifier.params: {} -> {\"tolerance\":1}"}));
}

TEST(Identity, stretched_schedule_is_listed) {
  EXPECT_EQ(changed(identity({"optim.schedule=linear"}),
                    identity({"optim.schedule=linear", "trainer.steps=200"})),
            (Texts{"optim.schedule_steps: 100 -> 200"}));
  EXPECT_EQ(
      changed(identity({"optim.schedule=linear", "optim.schedule_steps=100"}),
              identity({"optim.schedule=linear", "optim.schedule_steps=100", "trainer.steps=200"})),
      Texts{});
}

TEST(Identity, contents_count_and_not_their_paths) {
  auto contents = kContents;
  contents["data.eval.val"] = {"/v", "dd"};
  const Json before = identity({}, Task::kPolicyGradient, contents);
  contents["model.path"].path = "/moved";
  EXPECT_EQ(changed(before, identity({}, Task::kPolicyGradient, contents)), Texts{});
  contents["model.path"].sha256 = "ab";
  contents["data.train"].sha256 = "dd";
  contents["data.eval.other"] = {"/o", "ee"};
  contents.erase("data.eval.val");
  EXPECT_EQ(changed(before, identity({}, Task::kPolicyGradient, contents)),
            (Texts{"model.path: /m -> /moved",
                   "data.train: the content of /d changed",
                   "data.eval.other: null -> /o",
                   "data.eval.val: /v -> null"}));
}

TEST(Identity, key_that_the_checkpoint_does_not_know_had_its_default) {
  Json before = identity({});
  before.erase("optim.lr");
  before["trainer.gone"] = 1;
  EXPECT_EQ(changed(before, identity({})), Texts{});
  EXPECT_EQ(changed(before, identity({"optim.lr=2"})), (Texts{"optim.lr: 1e-06 -> 2.0"}));
}

TEST(Identity, what_breaks_a_run_is_refused_unless_it_is_allowed) {
  const auto changes = changes_between(
      identity({}), identity({"seed=5", "optim.betas=[0.5, 0.5]", "optim.lr=1"}), identity({}));
  EXPECT_EQ(
      testing::message_of<core::UserError>([&] { check_changes(changes, {}, "r/step-000004"); }),
      "this run would go on from r/step-000004, but since then seed: 0 -> 5 (rows would come "
      "again or be left out); optim.betas: [0.9,0.999] -> [0.5,0.5] (the optimizer's moments "
      "would be wrong): restore what was, choose another output_dir, or accept it with "
      "--allow-change seed,optim.betas");
  EXPECT_NE(testing::message_of<core::UserError>([&] {
              check_changes(changes, {"seed"}, "r");
            }).find("since then optim.betas"),
            std::string::npos);
  EXPECT_NO_THROW(check_changes(changes, {"optim.betas", "seed"}, "r"));
}

TEST(Identity, refused_are_exactly_these) {
  Texts refused;
  for (const std::string& key : ruled_keys())
    if (change_rule(key).treatment == ChangeClass::kRefused) refused.push_back(key);
  EXPECT_EQ(refused,
            (Texts{"task",
                   "seed",
                   "model.path",
                   "model.tokenizer",
                   "data.train",
                   "data.shuffle",
                   "algorithm.kl_ref",
                   "retention.data",
                   "demonstrations.data",
                   "frozen",
                   "optim.betas"}));
  EXPECT_EQ(change_rule("distributed.timeout_s").treatment, ChangeClass::kHarmless);
  EXPECT_EQ(change_rule("trainer.stepsize").treatment, ChangeClass::kListed) << "another word";
}

TEST(Identity, allowed_keys_are_a_list_of_known_ones) {
  EXPECT_EQ(parse_allowed("seed, optim.betas,", identity({})), (Texts{"seed", "optim.betas"}));
  EXPECT_EQ(parse_allowed("", identity({})), Texts{});
  EXPECT_EQ(
      testing::message_of<core::UserError>([&] { parse_allowed("optim.beta", identity({})); }),
      "--allow-change names 'optim.beta', which is no key of a run (did you mean "
      "'optim.betas'?)");
}

}  // namespace
}  // namespace sgrpo::trainer
