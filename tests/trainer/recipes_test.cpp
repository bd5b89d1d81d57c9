// Every recipe of configs/recipes is a configuration that trains: two steps of each on a tiny
// model.
#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

std::filesystem::path recipe_folder() {
  return std::filesystem::path(SGRPO_TESTS_DIR).parent_path() / "configs" / "recipes";
}

std::vector<std::filesystem::path> recipes() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(recipe_folder()))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

/// Rows as the recipes expect them: captions, or boxes where that is what is judged.
class Recipes : public Runs {
 protected:
  std::string rows_for(const RunConfig& recipe) const {
    const bool has_boxes = recipe.verifier.name.name() == "box_iou";
    auto data = rows(8, 100);
    for (size_t i = 0; i < data.size(); ++i) {
      data[i]["ground_truth"] = has_boxes    ? "[1, 2, 3, 4]"
                                : i % 2 == 0 ? "a dark bag"
                                             : "bright top";
      data[i]["verifier"] = has_boxes ? "box_iou" : "caption";
      if (recipe.data.baseline) data[i].erase("baseline");
    }
    const std::string name = has_boxes              ? "boxes.jsonl"
                             : recipe.data.baseline ? "captions_alone.jsonl"
                                                    : "captions.jsonl";
    scratch_.write(name, testing::to_jsonl(data));
    return (scratch_ / name).string();
  }

  /// What `eval --output` says of the rows.
  std::string baselines() const {
    std::vector<Json> measured;
    for (const Json& row : rows(8, 100))
      measured.push_back({{"id", row.at("id")}, {"reward", 0.5}, {"status", "incorrect"}});
    scratch_.write("baselines.jsonl", testing::to_jsonl(measured));
    return (scratch_ / "baselines.jsonl").string();
  }

  RunConfig shortened(const std::filesystem::path& recipe) const {
    const std::string name = recipe.stem().string();
    const RunConfig named = load_run_config(recipe, {});
    const std::string data = rows_for(named);
    Json train = named.data.train;  // the same entries of the tiny rows
    if (train.is_string()) train = Json::array({{{"path", ""}}});
    for (Json& entry : train) entry["path"] = data;
    Overrides options = {"output_dir=" + (scratch_ / name).string(),
                         "model.path=" + model().string(),
                         "data.train=" + train.dump(),
                         "trainer.steps=2",
                         "trainer.prompts_per_step=2",
                         "rollout.group_size=3",
                         "rollout.max_new_tokens=32"};
    if (named.demonstrations.data) options.push_back("demonstrations.data=" + data);
    for (const auto& [frozen, entry] : named.frozen.items()) {
      if (entry.contains("decay")) continue;
      options.push_back("frozen={" + frozen + ": {from: " + model().string() + "}}");
    }
    if (named.data.baseline) options.push_back("data.baseline=" + baselines());
    return load_run_config(recipe, options);
  }
};

TEST_F(Recipes, two_steps_of_each_are_finite) {
  ASSERT_GT(recipes().size(), 20U);
  for (const auto& recipe : recipes()) {
    SCOPED_TRACE(recipe.filename().string());
    const RunConfig named = load_run_config(recipe, {});
    EXPECT_EQ(named.output_dir, "runs/recipes/" + recipe.stem().string());
    const testing::LogCapture quiet;
    Trainer(shortened(recipe), Task::kPolicyGradient).run();
    const auto metrics = metrics_of(scratch_ / recipe.stem());
    ASSERT_EQ(metrics.size(), 2U);
    for (const Json& row : metrics)
      for (const auto& [name, value] : row.items())
        EXPECT_TRUE(value.is_number()) << name << " is not finite";
    EXPECT_EQ(metrics[0].at("data/rejected_rows"), 0);
  }
}

}  // namespace
}  // namespace sgrpo::trainer
