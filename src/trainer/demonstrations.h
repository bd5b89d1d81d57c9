// Demonstrations: rows with their answers that a loss learns from beside a step's rollouts.
#pragma once

#include <memory>

#include "sgrpo/core/json.h"
#include "sgrpo/data/stream.h"
#include "sgrpo/trainer/run_config.h"
#include "sgrpo/trainer/trainer.h"

namespace sgrpo::trainer {

/// The demonstration stream of a run. Exists where demonstrations.data is set, but not under `sft`.
class Demonstrations {
 public:
  Demonstrations(const RunConfig& config,
                 const data::PromptEncoder& encoder,
                 const data::Sharing& sharing = {});

  /// Goes on behind `finished_steps`; `saved` is what state() gave, null for a new stream.
  void resume(int64_t finished_steps, const core::Json* saved);
  /// The rows of a step, their answers as ground truths; none of a supervised step
  /// (trainer.sft_steps).
  PromptBatch next(int64_t step);
  /// What a checkpoint behind `finished_steps` keeps.
  core::Json state(int64_t finished_steps) const;

 private:
  int64_t first_step(int64_t finished_steps) const;

  std::shared_ptr<const data::PromptEncoder> encoder_;
  std::unique_ptr<data::PromptStream> stream_;
  int64_t supervised_steps_;
};

/// Rows of demonstrations.data in every step; 0 where it is not set.
int64_t demonstration_rows(const RunConfig& config);

/// Refuses a stream that the loss does not take, and a loss without its stream. Throws
/// core::UserError.
void check_demonstrations(const RunConfig& config);

}  // namespace sgrpo::trainer
