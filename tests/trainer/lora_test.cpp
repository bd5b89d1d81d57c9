// Runs that train an adapter: what is saved, what resumes, what may start from it.
#include "policy/language_policy.h"
#include "sgrpo/checkpoint/adapter_folder.h"
#include "trainer/run_files.h"

namespace sgrpo::trainer {
namespace {

class LoraRuns : public Runs {
 protected:
  static Overrides lora() { return {"model.lora={rank: 4, alpha: 8, targets: [q_proj, up_proj]}"}; }

  static std::filesystem::path adapter_of(const std::filesystem::path& run, int64_t step) {
    return folder_of(run, step) / "model";
  }
  static Tensors adapter_tensors(const std::filesystem::path& run, int64_t step) {
    return read_tensors(adapter_of(run, step) / "adapter_model.safetensors");
  }
  static uint64_t values_of(const Tensors& tensors) {
    uint64_t count = 0;
    for (const auto& [name, tensor] : tensors) count += static_cast<uint64_t>(tensor.numel());
    return count;
  }
  static std::unique_ptr<policy::Policy> open(const std::filesystem::path& path) {
    model::ModelOptions options;
    options.device = model::DeviceKind::kCpu;
    return policy::open(path, options, {});
  }
};

TEST_F(LoraRuns, checkpoint_is_an_adapter_whose_state_is_as_small) {
  const auto folder = run("run", both(coin(), lora()));
  const Tensors adapter = adapter_tensors(folder, 1);
  EXPECT_FALSE(std::filesystem::exists(weights_of(folder, 1)));
  double changed = 0.0;
  for (const auto& [name, tensor] : adapter) {
    EXPECT_TRUE(core::ends_with(name, "lora_A.weight") || core::ends_with(name, "lora_B.weight"));
    if (core::ends_with(name, "lora_B.weight")) changed += tensor.abs().sum().item<double>();
  }
  EXPECT_GT(changed, 0.0);  // B starts at zero
  // Two moments a value and one count: nothing for the frozen weights.
  EXPECT_EQ(values_of(read_tensors(optimizer_of(folder, 1))), 2 * values_of(adapter) + 1);
  const checkpoint::AdapterFolder saved(adapter_of(folder, 1));
  EXPECT_EQ(saved.config().rank, 4);
  EXPECT_EQ(saved.config().alpha, 8.0);
  EXPECT_EQ(saved.config().base_model, std::filesystem::canonical(model()).string());
}

TEST_F(LoraRuns, two_steps_and_two_more_equal_four) {
  const Overrides options = both(both(coin(), lora()),
                                 {"trainer.save_every=2",
                                  "trainer.keep_last=0",
                                  "algorithm.kl_coef=0.05",
                                  "eval.every=2",
                                  "eval.max_new_tokens=4",
                                  "data.eval={val: " + (scratch_ / "val.jsonl").string() + "}"});
  const auto whole = run("whole", both(options, {"trainer.steps=4"}));
  run("cut", both(options, {"trainer.steps=2"}));
  const auto cut = run("cut", both(options, {"trainer.steps=4"}));
  expect_same_metrics(whole, cut);
  for (const char* file : {"model/adapter_model.safetensors", "optimizer.safetensors"})
    expect_same_bytes(folder_of(whole, 4) / file, folder_of(cut, 4) / file);
}

TEST_F(LoraRuns, reference_is_the_start_and_does_not_follow) {
  const auto folder = run(
      "run",
      both(both(coin(), lora()), {"algorithm.kl_coef=0.05", "trainer.steps=3", "optim.eps=1e-8"}));
  const auto rows = metrics_of(folder);
  EXPECT_EQ(rows.at(0).at("kl").get<double>(), 0.0);  // B = 0: the adapter adds nothing
  EXPECT_GT(rows.at(2).at("kl").get<double>(), 1e-4);
}

TEST_F(LoraRuns, reference_that_shares_weights_equals_one_that_owns_them) {
  const auto options =
      both(both(coin(), lora()), {"algorithm.kl_coef=0.05", "trainer.steps=3", "optim.eps=1e-8"});
  const auto shared = run("shared", options);
  const auto owned =
      run("owned", both(options, {"algorithm.kl_ref=" + (scratch_ / "model").string()}));
  expect_same_metrics(shared, owned);
}

TEST_F(LoraRuns, opened_adapter_and_merged_export_agree) {
  const auto folder = run("run", both(both(coin(), lora()), {"optim.eps=1e-8"}));
  const auto input = std::make_shared<const checkpoint::ModelFolder>(folder);
  ASSERT_TRUE(input->adapter() != nullptr);
  input->write_like(scratch_ / "merged", policy::merged_weights(input));
  const Tensors base = read_tensors(model() / "model.safetensors"),
                merged = read_tensors(scratch_ / "merged" / "model.safetensors");
  EXPECT_EQ(base.size(), merged.size());
  int64_t num_changed = 0;
  for (const auto& [name, tensor] : base) num_changed += !at::equal(tensor, merged.at(name));
  EXPECT_EQ(num_changed, static_cast<int64_t>(adapter_tensors(folder, 1).size()) / 2);
  expect_same_bytes(model() / "config.json", scratch_ / "merged" / "config.json");

  const at::NoGradGuard guard;
  const model::PackedTokens text{
      .token_ids = at::arange(20, 30, at::kLong),
      .position_ids = at::arange(10, at::kLong).expand({3, 10}).contiguous(),
      .pixel_values = at::empty({0, 0}),
      .grid_thw = at::empty({0, 3}, at::kLong),
      .image_rows = {},
      .plan = ops::AttentionPlan::of_lengths({10}, true)};
  const auto hidden = [&](const std::filesystem::path& path) {
    const auto opened = open(path);
    return policy::as_language(*opened).model().forward(text);
  };
  const at::Tensor live = hidden(folder), plain = hidden(scratch_ / "merged"),
                   start = hidden(model());
  // Hidden states of order 1 after two layers; the update itself is far larger than rounding.
  EXPECT_LT((live - plain).abs().max().item<double>(), 2e-5);
  EXPECT_GT((live - start).abs().max().item<double>(), 1e-3);
}

TEST_F(LoraRuns, sft_adapter_trains_on_as_a_policy) {
  const auto sft = run("sft", lora(), Task::kSft);
  const Overrides next = {"model.path=" + sft.string()};
  const auto rl = run("rl", both(both(coin(), lora()), next));
  EXPECT_GT(max_difference(adapter_tensors(sft, 1), adapter_tensors(rl, 1)), 0.0);
  const checkpoint::AdapterFolder saved(adapter_of(rl, 1));
  EXPECT_EQ(saved.config().base_model, std::filesystem::canonical(model()).string());
  const std::string error = error_of(next);
  EXPECT_EQ(error,
            "model.path sft is an adapter, but model.lora is null: set model.lora={rank: 4, alpha: "
            "8, targets: [q_proj, up_proj]} to go on training it, or merge it first with `sgrpo "
            "export` to train all weights");
}

TEST_F(LoraRuns, run_does_not_resume_under_another_setting) {
  run("refused", both(coin(), lora()));
  EXPECT_EQ(error_of(both(coin(), {"trainer.steps=2"})),
            "refused was trained with model.lora, this configuration says none: choose another "
            "output_dir, or the setting of before");
}

TEST_F(LoraRuns, frozen_part_of_an_adapter_is_saved_and_resumes) {
  const std::string all = "model.lora={rank: 4, alpha: 8}";
  const auto sft = run("sft", {all, "optim.eps=1e-8"}, Task::kSft);
  const Overrides next = both(
      coin(), {"model.path=" + sft.string(), all, "model.freeze=[vision, merger]", "optim.lr=1"});
  const auto whole = run("whole", both(next, {"trainer.steps=2"}));
  run("cut", both(next, {"trainer.steps=1"}));
  const auto cut = run("cut", both(next, {"trainer.steps=2"}));
  for (const char* file : {"model/adapter_model.safetensors", "optimizer.safetensors"})
    expect_same_bytes(folder_of(whole, 2) / file, folder_of(cut, 2) / file);
  const Tensors before = adapter_tensors(sft, 1), after = adapter_tensors(whole, 2);
  ASSERT_EQ(before.size(), after.size());
  int64_t num_frozen = 0, num_changed = 0;
  for (const auto& [name, tensor] : before) {
    const bool is_frozen = name.find("visual") != std::string::npos;
    num_frozen += is_frozen;
    num_changed += !at::equal(tensor, after.at(name));
    EXPECT_TRUE(!is_frozen || at::equal(tensor, after.at(name))) << name;
  }
  EXPECT_GT(num_frozen, 0);
  EXPECT_EQ(num_changed, static_cast<int64_t>(before.size()) - num_frozen);
  const auto opened = open(whole);  // eval and export take it as well
  EXPECT_EQ(policy::as_language(*opened).model().adapter().parameters.size(), before.size());
}

TEST_F(LoraRuns, run_does_not_resume_under_another_rank_alpha_or_target) {
  run("refused", both(coin(), lora()));
  const auto error = [&](const std::string& setting) {
    return error_of(both(coin(), {"trainer.steps=2", "model.lora=" + setting}));
  };
  EXPECT_EQ(error("{rank: 4, alpha: 16, targets: [q_proj, up_proj]}"),
            "refused was trained with model.lora of rank 4 and alpha 8, this configuration says "
            "rank 4 and alpha 16: choose another output_dir, or the setting of before");
  EXPECT_EQ(error("{rank: 2, alpha: 8, targets: [q_proj, up_proj]}"),
            "refused was trained with model.lora of rank 4 and alpha 8, this configuration says "
            "rank 2 and alpha 8: choose another output_dir, or the setting of before");
  const std::string layer = "base_model.model.model.language_model.layers.0.";
  EXPECT_EQ(error("{rank: 4, alpha: 8, targets: [q_proj]}"),
            "refused/checkpoints/step-000001/model holds '" + layer +
                "mlp.up_proj.lora_A.weight', which this configuration does not train: "
                "model.lora.targets or model.freeze changed; choose another output_dir, or the "
                "setting of before");
  EXPECT_EQ(error("{rank: 4, alpha: 8, targets: [q_proj, up_proj, v_proj]}"),
            "refused/checkpoints/step-000001/model has no '" + layer +
                "self_attn.v_proj.lora_A.weight', which this configuration trains: "
                "model.lora.targets or model.freeze changed; choose another output_dir, or the "
                "setting of before");
}

TEST_F(LoraRuns, run_does_not_resume_under_another_scale_of_the_rank) {
  const auto sft = run("sft", lora(), Task::kSft);
  const auto stabilized = scratch_ / "stabilized";
  std::filesystem::copy(adapter_of(sft, 1), stabilized);
  Json saved = core::parse_json(core::read_file(stabilized / "adapter_config.json"), "");
  saved["use_rslora"] = true;
  core::write_file_atomic(stabilized / "adapter_config.json", saved.dump());
  const Overrides options = both(both(coin(), lora()), {"trainer.steps=2"});
  run("refused",
      both(both(coin(), lora()), {"trainer.steps=1", "model.path=" + stabilized.string()}));
  EXPECT_EQ(error_of(both(options, {"model.path=" + sft.string()}))
                .find("this run would go on from refused/checkpoints/step-000001, but since then "
                      "model.path: stabilized -> sft ("),
            0U);
  EXPECT_EQ(scratch_.shorten(testing::message_of<core::UserError>([&] {
    Trainer(this->config("refused", both(options, {"model.path=" + sft.string()})),
            Task::kPolicyGradient,
            "model.path");
  })),
            "refused was trained with model.lora of rank 4 and alpha 8 (use_rslora), this "
            "configuration says rank 4 and alpha 8: choose another output_dir, or the setting of "
            "before");
}

TEST_F(LoraRuns, run_goes_on_after_its_base_model_has_moved) {
  const auto options = both(coin(), lora());
  const auto whole = run("whole", both(options, {"trainer.steps=2"}));
  run("cut", both(options, {"trainer.steps=1"}));
  const auto moved = scratch_ / "moved";
  std::filesystem::rename(model(), moved);
  const std::string error = scratch_.shorten(testing::message_of<core::UserError>(
      [&] { const checkpoint::ModelFolder opened(scratch_ / "cut"); }));
  EXPECT_EQ(error,
            "cut/checkpoints/step-000001/model/adapter_config.json: base_model_name_or_path is "
            "'model', and there is no such folder here: write the base model's folder there (names "
            "on the Hugging Face Hub are not downloaded), in a copy, since a checkpoint must stay "
            "as it was saved: `cp -r cut/checkpoints/step-000001/model NEW_DIR`, change "
            "NEW_DIR/adapter_config.json, and give NEW_DIR");
  const auto cut = run("cut", both(options, {"trainer.steps=2", "model.path=" + moved.string()}));
  for (const char* file : {"model/adapter_model.safetensors", "optimizer.safetensors"})
    expect_same_bytes(folder_of(whole, 2) / file, folder_of(cut, 2) / file);
  EXPECT_EQ(checkpoint::AdapterFolder(adapter_of(cut, 2)).config().base_model, moved.string());

  std::filesystem::copy(adapter_of(cut, 1), scratch_ / "copy");
  Json config = core::parse_json(core::read_file(scratch_ / "copy" / "adapter_config.json"), "");
  config["base_model_name_or_path"] = moved.string();
  core::write_file_atomic(scratch_ / "copy" / "adapter_config.json", config.dump());
  EXPECT_EQ(checkpoint::ModelFolder(scratch_ / "copy").folder(), moved) << "what the error advises";
}

TEST_F(LoraRuns, adapter_folders_of_other_kinds_are_refused) {
  const auto folder = run("run", both(coin(), lora()));
  const auto config = adapter_of(folder, 1) / "adapter_config.json";
  const Json good = core::parse_json(core::read_file(config), "adapter_config.json");
  const auto error_with = [&](const std::string& key, const Json& value) {
    const auto copy = scratch_ / "copy";
    std::filesystem::remove_all(copy);
    std::filesystem::copy(adapter_of(folder, 1), copy);
    Json changed = good;
    changed[key] = value;
    core::write_file_atomic(copy / "adapter_config.json", changed.dump());
    try {
      const checkpoint::ModelFolder opened(copy);
      return std::string();
    } catch (const core::UserError& error) {
      return scratch_.shorten(error.what());
    }
  };
  EXPECT_EQ(error_with("use_dora", true),
            "copy/adapter_config.json: use_dora is true, which is not supported: merge the adapter "
            "in Python (merge_and_unload) and give the merged model");
  EXPECT_EQ(error_with("modules_to_save", {"lm_head"}),
            "copy/adapter_config.json: modules_to_save is [\"lm_head\"], which is not supported: "
            "merge the adapter in Python (merge_and_unload) and give the merged model");
  EXPECT_EQ(error_with("alora_invocation_tokens", {64, 65}),
            "copy/adapter_config.json: alora_invocation_tokens is set: an activated LoRA (aLoRA), "
            "which adds to the tokens behind its invocation alone and cannot be merged, is not "
            "supported: give a plain LoRA");
  EXPECT_EQ(error_with("alora_invocation_tokens", nullptr), "");
  EXPECT_EQ(
      error_with("init_lora_weights", "pissa_niter_4"),
      "copy/adapter_config.json: init_lora_weights is 'pissa_niter_4', for which PEFT changes "
      "the base model's weights first, which is not supported: merge the adapter in Python "
      "(merge_and_unload) and give the merged model");
  EXPECT_EQ(error_with("init_lora_weights", "gaussian"), "");
  EXPECT_EQ(error_with("peft_type", "IA3"),
            "copy/adapter_config.json: peft_type is 'IA3', expected LORA");
  EXPECT_EQ(error_with("base_model_name_or_path", "Qwen/Qwen2.5-VL-3B-Instruct"),
            "copy/adapter_config.json: base_model_name_or_path is 'Qwen/Qwen2.5-VL-3B-Instruct', "
            "and there is no such folder here: write the base model's folder there (names on the "
            "Hugging Face Hub are not downloaded)");
  EXPECT_EQ(error_with("base_model_name_or_path", adapter_of(folder, 1).string()),
            "copy/adapter_config.json: base_model_name_or_path is itself an adapter "
            "(run/checkpoints/step-000001/model): merge that one first with `sgrpo export "
            "--checkpoint DIR --output NEW_DIR` and write NEW_DIR there");
}

}  // namespace
}  // namespace sgrpo::trainer
