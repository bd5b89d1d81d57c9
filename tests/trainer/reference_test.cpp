// algorithm.kl_ref: DIR, a reference that is a checkpoint of its own.
#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

class Reference : public Runs {
 protected:
  Overrides options(const std::filesystem::path& reference) const {
    return both(coin(),
                {"algorithm.kl_coef=0.05",
                 "trainer.steps=3",
                 "optim.eps=1e-8",
                 "algorithm.kl_ref=" + reference.string()});
  }

  /// The policy's weights with an embedding of `num_rows`: cut, or with rows that would take all of
  /// the probability if they were not masked.
  std::filesystem::path with_rows(int64_t num_rows) const {
    testing::TinyCheckpoint tiny;
    checkpoint::NewModel copy;
    copy.config = tiny.config;
    copy.config["text_config"]["vocab_size"] = num_rows;
    copy.preprocessor = tiny.preprocessor;
    copy.tokenizer = model() / "tokenizer.json";
    copy.chat_template = model() / "chat_template.jinja";
    for (auto [name, tensor] : testing::tiny_tensors(tiny)) {
      if (name == "model.embed_tokens.weight" ||
          name == "model.language_model.embed_tokens.weight") {
        const auto grown = at::full({num_rows, tensor.size(1)}, 3.0);
        const int64_t kept = std::min(num_rows, tensor.size(0));
        grown.slice(0, 0, kept).copy_(tensor.slice(0, 0, kept));
        tensor = grown;
      }
      copy.tensors.push_back(checkpoint::as_lazy(name, tensor));
    }
    const auto folder = scratch_ / core::str("rows-", num_rows);
    checkpoint::write_new_model_folder(folder, copy);
    return folder;
  }
};

TEST_F(Reference, padding_of_another_length_changes_nothing) {
  const auto same = metrics_of(run("same", options(model())));
  for (const int64_t rows : {400, 424}) {  // the policy has 408, the tokenizer 400
    const auto other = metrics_of(run(core::str("rows-", rows, "-run"), options(with_rows(rows))));
    for (size_t i = 0; i < same.size(); ++i) {
      const double expected = same[i].at("kl").get<double>();
      EXPECT_NEAR(other[i].at("kl").get<double>(), expected, 1e-5 + 1e-3 * expected) << rows;
    }
  }
  EXPECT_GT(same[2].at("kl").get<double>(), 1e-3);
}

TEST_F(Reference, padding_of_another_length_needs_the_mask) {
  const auto folder = with_rows(424);
  EXPECT_EQ(error_of(both(options(folder), {"rollout.sampling_mask=false"})),
            "algorithm.kl_ref rows-424 has 424 embedding rows, the policy 408: with "
            "rollout.sampling_mask: false they must be as many; set it to true, or give another "
            "reference");
}

TEST_F(Reference, other_patches_are_refused) {
  testing::TinyCheckpoint tiny;
  tiny.config["vision_config"]["patch_size"] = 14;
  tiny.preprocessor["patch_size"] = 14;
  const auto folder = scratch_ / "coarse";
  testing::write_tiny_checkpoint(folder, tiny);
  EXPECT_EQ(error_of(options(folder)),
            "algorithm.kl_ref coarse is a qwen2_5_vl model that reads no images or other patches "
            "than the policy (qwen2_5_vl): give a checkpoint of the same family, or kl_ref: start");
}

TEST_F(Reference, another_tokenizer_is_refused) {
  const auto folder = scratch_ / "other";
  std::filesystem::copy(model(), folder);
  const std::string file = (folder / "tokenizer.json").string();
  Json tokenizer = core::parse_json(core::read_file(file), file);
  Json& vocabulary = tokenizer["model"]["vocab"];
  std::string first, second;
  for (const auto& [token, id] : vocabulary.items()) {
    if (id == 30) first = token;
    if (id == 31) second = token;
  }
  std::swap(vocabulary[first], vocabulary[second]);
  core::write_file_atomic(file, tokenizer.dump());
  EXPECT_EQ(error_of(options(folder)),
            core::str("algorithm.kl_ref other has another tokenizer than model.path model (token "
                      "id 30 is '",
                      second,
                      "', the policy's is '",
                      first,
                      "'), so that its log-probs would be of other texts: give a checkpoint of the "
                      "same family, or kl_ref: start"));
}

}  // namespace
}  // namespace sgrpo::trainer
