#include "trainer/demonstrations.h"

#include <algorithm>

#include "sgrpo/algorithm/loss.h"
#include "sgrpo/core/text.h"
#include "sgrpo/data/encoder.h"
#include "trainer/side_stream.h"
#include "trainer/stages.h"
#include "trainer/together.h"

namespace sgrpo::trainer {
namespace {

/// Retention's keys begin at half of it.
constexpr int64_t kFirstDemonstration = int64_t{2} << 40;

data::EncoderSpec demonstration_spec(const data::EncoderSpec& spec, const RunConfig& config) {
  data::EncoderSpec result = side_spec(spec, config, Task::kPolicyGradient);
  result.check_record = [](const PromptRecord& record) {
    if (given_answer(record)) return;
    throw core::UserError(
        "no completion, ground_truth_completion or ground_truth to demonstrate "
        "(demonstrations.data)");
  };
  return result;
}

}  // namespace

int64_t demonstration_rows(const RunConfig& config) {
  if (!config.demonstrations.data) return 0;
  return config.demonstrations.prompts_per_step.value_or(config.trainer.prompts_per_step);
}

void check_demonstrations(const RunConfig& config) {
  const bool is_taken =
      algorithm::plan_demonstrations(loss_settings(config), 1, config.trainer.steps).has_value();
  if (is_taken == config.demonstrations.data.has_value()) return;
  if (is_taken) {
    throw core::UserError(core::str(
        "algorithm.loss is ",
        config.algorithm.loss,
        ", which learns from demonstrations beside the rollouts: set demonstrations.data"));
  }
  throw core::UserError(core::str("demonstrations.data is set, but algorithm.loss ",
                                  config.algorithm.loss,
                                  " takes no demonstrations: expected algorithm.loss: chord, or no "
                                  "demonstrations"));
}

Demonstrations::Demonstrations(const RunConfig& config,
                               const data::PromptEncoder& encoder,
                               const data::Sharing& sharing)
    : encoder_(std::make_shared<data::PromptEncoder>(demonstration_spec(encoder.spec(), config))),
      stream_(open_side_stream(
          {*config.demonstrations.data, kFirstDemonstration, demonstration_rows(config)},
          config,
          encoder_,
          sharing)),
      supervised_steps_(config.trainer.sft_steps) {}

/// The step that takes the next rows.
int64_t Demonstrations::first_step(int64_t finished_steps) const {
  return std::max(finished_steps, supervised_steps_) + 1;
}

void Demonstrations::resume(int64_t finished_steps, const core::Json* saved) {
  const std::string where = "state.json: demonstrations";
  stream_->resume(first_step(finished_steps),
                  saved == nullptr ? 0 : core::get_int(*saved, "position", where, 0),
                  saved == nullptr ? core::Json::array() : saved->at("rejected_rows"));
}

PromptBatch Demonstrations::next(int64_t step) {
  if (step <= supervised_steps_) return {};
  PromptBatch batch = stream_->batch(step);
  for (size_t i = 0; i < batch.prompts.size(); ++i) {
    const std::string& text = *given_answer(*batch.prompts[i]->record);
    batch.prompt_index[i] += kFirstDemonstration;
    batch.prompts[i] = with_answer(*batch.prompts[i], text, encoder_->completion_ids(text));
  }
  return batch;
}

core::Json Demonstrations::state(int64_t finished_steps) const {
  return {{"position", stream_->position(first_step(finished_steps))},
          {"rejected_rows", stream_->rejected_rows()}};
}

void demonstrate(State& state, const PromptBatch& rows, int64_t step, Retained& beside) {
  if (state.feed->demonstrations() == nullptr || state.is_sft(step)) return;
  const auto plan =
      algorithm::plan_demonstrations(loss_settings(state.config), step, state.config.trainer.steps);
  std::vector<TrainRow> own =
      together(*state.communicator, [&] { return supervised_rows(state, rows); });
  for (size_t i = 0; i < own.size(); ++i) own[i].group = rows.places[i];
  learner::StepPart part{.rows = std::move(own),
                         .loss = plan->loss,
                         .weight = beside.arm_weight * plan->weight,
                         .scoring = state.scoring(/*is_sft=*/true),
                         .name = "demonstrations"};
  beside.arm_weight *= plan->own_weight;
  const double tokens = static_cast<double>(tokens_of(part.rows));
  const auto sums = state.communicator->reduce({static_cast<double>(rows.prompts.size()), tokens});
  beside.report.set("demonstrations/weight", plan->weight);
  beside.report.set("demonstrations/rows", sums[0]);
  beside.report.set("demonstrations/tokens", sums[1]);
  beside.tokens += tokens_of(part.rows);
  if (part.weight > 0.0) beside.parts.push_back(std::move(part));
}

}  // namespace sgrpo::trainer
