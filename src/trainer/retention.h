// Retention: beside a step's prompts, some rows that keep what the start model knew.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sgrpo/data/stream.h"
#include "sgrpo/policy/policy.h"
#include "sgrpo/trainer/run_config.h"
#include "sgrpo/trainer/trainer.h"
#include "sgrpo/types/rollout_group.h"
#include "sgrpo/verifier/verifier.h"

namespace sgrpo::trainer {

/// The retention stream of a run: its rows, and what each is to be answered with. Exists where
/// retention.data is set.
class Retention {
 public:
  Retention(const RunConfig& config,
            Task task,
            const data::PromptEncoder& encoder,
            data::Sharing sharing = {});

  /// Opens the stream behind `finished_steps`. kind self: the rows of all steps to come are
  /// answered by `start`, which must be the start model, greedily; what output_dir/retention.jsonl
  /// holds already is taken from there. `saved` is what state() gave to the checkpoint that the run
  /// goes on from, null for a new run. Throws core::UserError where the file is not that run's.
  void open(const policy::Policy& start, int64_t finished_steps, const core::Json* saved);

  /// What open() came to, and another rank's that takes it over.
  core::Json opened() const;
  void open_as(const core::Json& opened);

  /// The rows of a step; under self and rows their answer is the ground truth.
  PromptBatch next(int64_t step);

  /// Verdicts of `exact` against those answers, and each group's kind.
  std::vector<RolloutGroup> judge(std::vector<RolloutGroup> groups) const;

  /// What a checkpoint behind `finished_steps` keeps.
  core::Json state(int64_t finished_steps) const;

 private:
  struct Answer {
    std::string id, text;
    std::vector<int64_t> token_ids;
    FinishReason finish_reason = FinishReason::kStop;
  };

  std::unique_ptr<data::PromptStream> open_stream(int64_t prompts_per_step,
                                                  const data::Sharing& sharing) const;
  void load_answers(const core::Json& saved);
  void take_line(const core::Json& row);
  void begin_stream();
  core::Json answer_rows(const policy::Policy& start, int64_t until, const core::Json& rejected);
  void answer(const policy::Policy& start, const PromptBatch& prompts);
  std::string answer_lines() const;
  std::shared_ptr<const EncodedPrompt> answered(const EncodedPrompt& prompt) const;

  RunConfig config_;
  data::Sharing sharing_;
  std::shared_ptr<const data::PromptEncoder> encoder_;
  std::unique_ptr<data::PromptStream> stream_;
  verifier::VerifierSet exact_;
  std::map<int64_t, Answer> answers_;  // by line of the file
  std::vector<int64_t> answer_order_;  // lines, as they were answered
  int64_t covered_ = 0;                // positions of the stream whose rows have an answer
  core::Json begin_;                   // where the stream was opened
};

/// Rows of retention.data in every step: round(w / (1 - w) * prompts_per_step), at least 1; 0 where
/// it is not set.
int64_t retention_rows(const RunConfig& config);

}  // namespace sgrpo::trainer
