// Every architecture trains, is saved as it was, and goes on.
#include "testing/tiny_families.h"
#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

class Families : public Runs, public ::testing::WithParamInterface<testing::TinyCheckpoint> {
 protected:
  Families() {
    std::filesystem::remove_all(model());
    testing::write_tiny_checkpoint(model(), GetParam());
    if (!GetParam().preprocessor.is_null()) return;
    std::vector<Json> texts;  // a text model takes no images
    for (int64_t i = 0; i < 6; ++i)
      texts.push_back({{"id", core::str("t", i)}, {"prompt", "what"}, {"ground_truth", "bag"}});
    scratch_.write("train.jsonl", testing::to_jsonl(texts));
  }
};

TEST_P(Families, sft_then_grpo_with_kl_moves_every_tensor_and_resumes_bitwise) {
  const Overrides options = both(
      coin(),
      {"trainer.sft_steps=1", "algorithm.kl_coef=0.01", "trainer.save_every=1", "optim.eps=1e-8"});
  const auto whole = run("whole", both(options, {"trainer.steps=3"}));
  const Tensors before = read_tensors(model() / "model.safetensors");
  const Tensors after = read_tensors(weights_of(whole, 3));
  ASSERT_EQ(before.size(), after.size());
  for (const auto& [name, tensor] : before)
    EXPECT_FALSE(at::equal(tensor, after.at(name))) << name << " has not moved";
  run("cut", both(options, {"trainer.steps=2"}));
  const auto cut = run("cut", both(options, {"trainer.steps=3"}));
  expect_same_bytes(weights_of(whole, 3), weights_of(cut, 3));
  expect_same_metrics(whole, cut);
}

INSTANTIATE_TEST_SUITE_P(All,
                         Families,
                         ::testing::ValuesIn(testing::tiny_families()),
                         [](const auto& each) { return testing::family_name(each.param); });

}  // namespace
}  // namespace sgrpo::trainer
