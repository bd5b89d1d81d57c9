// The training stream: which prompts a step takes; a pure function of seed, files and position.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "sgrpo/core/json.h"
#include "sgrpo/data/encoder.h"
#include "sgrpo/data/options.h"
#include "sgrpo/data/sharing.h"

namespace sgrpo::data {

/// One file of `data.train`.
struct TrainEntry {
  std::string path;
  double weight = 1.0;
  int64_t from_step = 1;  // steps that draw from it, both inclusive
  int64_t until_step = std::numeric_limits<int64_t>::max();
};

/// The entries of `data.train`: a path or a list of paths and {path, weight, from_step,
/// until_step}. Throws core::UserError naming the entry.
std::vector<TrainEntry> train_entries(const core::Json& train);

/// Throws core::UserError naming the first of `steps` steps at which no entry is active.
void check_steps(const std::vector<TrainEntry>& entries, int64_t steps);

/// Rows of one or several weighted files, shuffled per epoch by key, encoded ahead of use on worker
/// threads.
class PromptStream {
 public:
  /// Reads and parses the files (not the images). Throws core::UserError for unreadable files or a
  /// wrong `data.train`. Several lists: each position draws its list by weight (key: seed,
  /// position) among those of its step, then takes that list's next row.
  PromptStream(const DataOptions& options,
               std::shared_ptr<const PromptEncoder> encoder,
               uint64_t seed,
               int64_t prompts_per_step,
               Sharing sharing = {});
  ~PromptStream();

  /// The batch of step `step` (from 1), of several ranks this one's share. A bad row is reported
  /// once with file, line, id and reason, and replaced by the next good row of the same order (a
  /// pure function of seed and position). Encodes the next step on threads of its own while this
  /// one is used: at most two steps' prompts exist at a time. Throws core::UserError when more than
  /// max_bad_fraction of the rows read so far (at least 1 row of 100) is bad, core::RunError naming
  /// the rank on which encoding failed for another reason.
  PromptBatch batch(int64_t step);

  /// The next `owners.size()` prompts for step `step` besides its batch, which it has taken: the
  /// steps behind it begin behind them. Each goes to the rank that `owners` names; the same call on
  /// all ranks. Throws as `batch` does.
  PromptBatch more(int64_t step, const std::vector<int64_t>& owners);

  /// What reading the images of the last batch, and of what was taken besides, cost.
  ImageCost image_cost() const;

  int64_t num_rows() const;
  /// Rows that batches have looked at so far, each once.
  int64_t num_used() const;
  /// Rows rejected so far.
  int64_t num_rejected() const;
  /// The rows found unusable so far, for a checkpoint.
  core::Json rejected_rows() const;
  /// The position that the batch of `step` begins at: what a checkpoint keeps, so that another
  /// prompts_per_step, and what steps drew besides, neither repeat nor skip rows.
  int64_t position(int64_t step) const;
  /// Where entries have their steps: how many rows of each list the steps before `step` took, for
  /// a checkpoint; else null, for it follows from the position. Of the step that was taken last and
  /// the one behind it.
  core::Json drawn(int64_t step) const;
  /// Goes on with `step` at `position`, and counts the rejected rows of before although they may
  /// not be met again. No step takes the positions `passed_over`, a list of [begin, end). `drawn`
  /// as it was saved; null where the data changed, then lists with steps begin anew. Comes before
  /// the first batch; the data must be the same.
  void resume(int64_t step,
              int64_t position,
              const core::Json& rejected_rows,
              const core::Json& passed_over = core::Json::array(),
              const core::Json& drawn = nullptr);
  /// A hash of each row's pictures, kept when it is first read, for a checkpoint: a row whose
  /// pictures hold other pixels later is a bad one.
  core::Json pixel_hashes() const;
  /// Goes on with those of before, where pictures are encoded alike. Comes before the first batch.
  void expect_pixels(const core::Json& pixel_hashes);
  /// As given to `resume`, in order and merged.
  core::Json passed_over() const;
  /// SHA-256 over the files' bytes: a changed data set is noticed on resume.
  std::string fingerprint() const;
  /// The record with this id (for replay); null if there is none. Throws core::UserError naming
  /// both places when rows that differ share the id.
  std::shared_ptr<const PromptRecord> find(const std::string& id) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Encodes a whole evaluation file in order; bad rows are reported and left out, and counted in
/// `num_rejected`.
struct EvalSet {
  std::string name;
  std::vector<std::shared_ptr<const PromptRecord>> records;
  int64_t num_rejected = 0;
};
EvalSet load_eval_set(const std::string& name, const std::string& path, const DataOptions& options);

/// RowOptions of a data section.
RowOptions row_options(const DataOptions& options);

}  // namespace sgrpo::data
