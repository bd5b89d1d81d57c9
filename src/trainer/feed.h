// Where a step's prompts and groups come from: the stream, recorded groups, verdicts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sgrpo/data/replay.h"
#include "sgrpo/data/stream.h"
#include "sgrpo/trainer/run_config.h"
#include "sgrpo/trainer/trainer.h"
#include "sgrpo/types/rollout_group.h"
#include "sgrpo/verifier/verifier.h"
#include "trainer/demonstrations.h"
#include "trainer/retention.h"

namespace sgrpo::trainer {

/// A step's prompts, and what was recorded for them under rollout.replay.
struct FedBatch {
  PromptBatch prompts;
  std::vector<const data::RecordedGroup*> recordings;  // one a prompt, or none at all
  PromptBatch retention = {};                          // of the retention stream, if there is one
  PromptBatch demonstrations = {};                     // of that stream, if there is one
};

/// The stream and the recordings of a run.
class Feed {
 public:
  /// Opens data.train, and rollout.replay if it is set. Throws core::UserError.
  Feed(const RunConfig& config,
       Task task,
       const data::PromptEncoder& encoder,
       const verifier::VerifierSet& verifiers,
       const data::Sharing& sharing = {});

  /// The prompts of step `step`. Throws core::UserError where a prompt has no recording.
  FedBatch next(int64_t step);
  /// The stream's next prompts for `step` besides those that next() gave, each for the rank that
  /// `owners` names: the steps behind it begin behind them.
  FedBatch more(int64_t step, const std::vector<int64_t>& owners);
  data::PromptStream& stream() { return *stream_; }
  const data::PromptStream& stream() const { return *stream_; }
  /// The retention stream; null where retention.data is not set. It must be opened before next().
  Retention* retention() { return retention_.get(); }
  const Retention* retention() const { return retention_.get(); }
  /// The demonstration stream, likewise.
  Demonstrations* demonstrations() { return demonstrations_.get(); }
  const Demonstrations* demonstrations() const { return demonstrations_.get(); }
  bool is_replay() const { return !replay_.empty(); }

 private:
  std::vector<const data::RecordedGroup*> candidates(const PromptRecord& record,
                                                     int64_t step) const;
  std::vector<const data::RecordedGroup*> recordings_of(const PromptBatch& prompts,
                                                        int64_t step) const;

  std::unique_ptr<data::PromptStream> stream_;
  std::unique_ptr<Retention> retention_;
  std::unique_ptr<Demonstrations> demonstrations_;
  std::vector<data::RecordedGroup> replay_;
  std::string replay_path_;
};

}  // namespace sgrpo::trainer
