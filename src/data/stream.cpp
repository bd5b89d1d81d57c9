#include "sgrpo/data/stream.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <future>
#include <iterator>
#include <map>
#include <thread>
#include <unordered_map>

#include "data/bad_rows.h"
#include "data/order.h"
#include "data/parallel.h"
#include "data/passed_over.h"
#include "data/pixel_hashes.h"
#include "data/slot_result.h"
#include "data/train_files.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/sha256.h"

namespace sgrpo::data {
namespace {

/// Half of the cores: the other half computes the current step.
size_t loader_threads() {
  return std::clamp<size_t>(std::thread::hardware_concurrency() / 2, 1, 8);
}

std::vector<StreamList> lists_of(const std::vector<TrainFile>& files) {
  std::vector<StreamList> lists;
  for (const TrainFile& file : files) {
    lists.push_back({.rows = static_cast<int64_t>(file.records.size()),
                     .weight = file.weight,
                     .from_step = file.from_step,
                     .until_step = file.until_step});
  }
  return lists;
}

int64_t total_rows(const std::vector<TrainFile>& files) {
  int64_t total = 0;
  for (const TrainFile& file : files) total += static_cast<int64_t>(file.records.size());
  return total;
}

}  // namespace

// At most one background task exists, and this thread touches `order`, `is_bad` and the account
// only while none runs: the task is started last and waited for first.
struct PromptStream::Impl {
  Impl(const DataOptions& opts,
       std::shared_ptr<const PromptEncoder> enc,
       uint64_t seed,
       int64_t per_step,
       Sharing among)
      : encoder(std::move(enc)),
        sharing(std::move(among)),
        is_long_fatal(opts.on_long_prompt == OnLongPrompt::kError),
        max_bad_fraction(opts.max_bad_fraction),
        prompts_per_step(per_step),
        files(read_train_files(opts)),
        num_rows(total_rows(files)),
        order(seed,
              opts.shuffle,
              lists_of(files),
              [this](int64_t position) { return step_of(position); }),
        account(opts.max_bad_fraction, num_rows) {
    if (order.has_limits()) drawn = {{1, std::vector<int64_t>(files.size(), 0)}};
    for (const TrainFile& file : files) {
      is_bad.emplace_back(file.records.size(), false);
      is_used.emplace_back(file.records.size(), false);
      for (const RecordError& error : file.errors) account.add_unparsed(error);
      for (size_t row = 0; row < file.records.size(); ++row) {
        const auto& record = file.records[row];
        is_bad.back()[row] = record == nullptr;
        if (record) by_id[record->id].push_back(record);
      }
    }
    account.check(num_rows);
  }

  ~Impl() {
    stop = true;
    if (pending.valid()) pending.wait();
  }

  SlotResult encode_slot(const StreamSlot& slot) const;
  Results encode(const std::vector<int64_t>& positions);
  void collect();
  std::vector<int64_t> positions(int64_t first, int64_t count) const;
  std::vector<StreamSlot> slots_of(const std::vector<int64_t>& positions);
  double cost_of(const StreamSlot& slot) const;
  std::vector<int64_t> owners_of(const std::vector<int64_t>& positions);
  std::vector<int64_t> unready(const std::vector<int64_t>& positions,
                               const std::vector<int64_t>& owners) const;
  void prefetch(int64_t first, int64_t count);
  Results take(const std::vector<int64_t>& positions, const std::vector<int64_t>& owners);
  PromptBatch settle_all(int64_t first, const std::vector<int64_t>& owners);
  void settle(const SlotResult& result);
  void note_tokens(const SlotResult& result);
  void use(size_t list, int64_t row);
  void use_drawn(const std::vector<int64_t>& counts);
  void end_batch(int64_t step);
  void begin_at(int64_t step, int64_t position, const core::Json& counts);
  /// Behind the last known beginning every step takes as many positions.
  int64_t position(int64_t step) const {
    const auto known = std::prev(begins.upper_bound(step));
    return passed.behind(known->second, (step - known->first) * prompts_per_step);
  }
  /// The step whose positions hold this one; positions that no step takes go to the one behind.
  int64_t step_of(int64_t position) const {
    auto next = begins.end();
    while (next != std::next(begins.begin()) && std::prev(next)->second > position) --next;
    const auto known = std::prev(next);
    const int64_t step = known->first + passed.taken(known->second, position) / prompts_per_step;
    return next == begins.end() ? step : std::min(step, next->first - 1);  // it drew more
  }

  std::shared_ptr<const PromptEncoder> encoder;
  Sharing sharing;
  bool is_long_fatal;
  double max_bad_fraction;
  int64_t prompts_per_step;
  std::map<int64_t, int64_t> begins{{1, 0}};  // step -> position: the first, and behind draws
  PassedOver passed;
  std::vector<TrainFile> files;
  int64_t num_rows;
  std::unordered_map<std::string, std::vector<std::shared_ptr<const PromptRecord>>> by_id;

  StreamOrder order;
  std::map<int64_t, std::vector<int64_t>> drawn;  // by step, where lists have their steps
  std::vector<std::vector<bool>> is_bad;          // per list and row: known to be unusable
  std::vector<std::vector<bool>> is_used;         // per list and row: looked at by some batch
  int64_t num_used = 0;
  core::Json rejected = core::Json::array();  // [list, row, is_long] in the order of reporting
  PixelHashes pixels;                         // changed, as `is_bad`, while no task runs
  BadRowAccount account;
  ImageCost batch_cost;

  std::map<std::pair<size_t, int64_t>, int64_t> tokens;  // prompts' tokens, of rows met so far
  int64_t image_tokens = 0, num_images = 0;              // of the rows met so far

  std::atomic<bool> stop{false};
  Results ready;  // own ones, by position
  std::future<Results> pending;
};

/// The slot's row, else the next usable row of the same order.
SlotResult PromptStream::Impl::encode_slot(const StreamSlot& slot) const {
  SlotResult result;
  result.list = slot.list;
  const TrainFile& file = files[slot.list];
  const auto size = static_cast<int64_t>(slot.order->size());
  // More than this many bad rows end the run anyway: do not walk through a whole broken data set.
  const double enough = std::max(1.0, max_bad_fraction * static_cast<double>(num_rows));
  int64_t num_bad = 0;
  for (int64_t i = 0; i < size && !stop; ++i) {
    const int64_t row = (*slot.order)[static_cast<size_t>((slot.index + i) % size)];
    if (is_bad[slot.list][static_cast<size_t>(row)]) continue;
    try {
      ImageCost cost;
      result.prompt = encoder->encode(file.records[static_cast<size_t>(row)], cost);
      result.pixel_hash = pixel_hash(result.prompt.patches);
      if (pixels.differs({slot.list, row}, result.pixel_hash)) {
        const PromptRecord& record = *file.records[static_cast<size_t>(row)];
        throw RecordError(record.source,
                          record.id,
                          "its pictures hold other pixels than when this run first read them: put "
                          "them back, or start a run of its own");
      }
      result.cost = cost;
      result.row = row;
      result.num_tokens = result.prompt.num_tokens();
      result.num_image_tokens = static_cast<int64_t>(result.prompt.image_rows.size());
      result.is_replaced = i > 0;
      return result;
    } catch (const LongPromptError& error) {
      result.rejections.push_back({.row = row, .error = error, .is_long = true});
      if (is_long_fatal) return result;
    } catch (const RecordError& error) {
      result.rejections.push_back({.row = row, .error = error, .is_long = false});
      if (static_cast<double>(++num_bad) > enough) return result;
    }
  }
  return result;
}

Results PromptStream::Impl::encode(const std::vector<int64_t>& wanted) {
  const std::vector<StreamSlot> slots = slots_of(wanted);
  std::vector<SlotResult> results(slots.size());
  run_parallel(slots.size(), loader_threads(), 1, [&](size_t i) {
    if (stop) return;
    try {
      results[i] = encode_slot(slots[i]);
    } catch (...) {  // told at its place among the positions
      results[i].failure = std::current_exception();
    }
  });
  Results by_position;
  for (size_t i = 0; i < wanted.size(); ++i) by_position[wanted[i]] = std::move(results[i]);
  return by_position;
}

/// Waits for the background task.
void PromptStream::Impl::collect() {
  if (pending.valid()) ready.merge(pending.get());
}

/// Those that are not passed over.
std::vector<int64_t> PromptStream::Impl::positions(int64_t first, int64_t count) const {
  std::vector<int64_t> result;
  for (const auto& [begin, end] : passed.stretches(first, count)) {
    for (int64_t position = begin; position < end; ++position) result.push_back(position);
  }
  return result;
}

/// Of ascending positions.
std::vector<StreamSlot> PromptStream::Impl::slots_of(const std::vector<int64_t>& wanted) {
  std::vector<StreamSlot> slots;
  for (size_t begin = 0; begin < wanted.size();) {
    size_t end = begin + 1;
    while (end < wanted.size() && wanted[end] == wanted[end - 1] + 1) ++end;
    for (StreamSlot& slot : order.slots(wanted[begin], static_cast<int64_t>(end - begin)))
      slots.push_back(std::move(slot));
    begin = end;
  }
  return slots;
}

/// Tokens of the prompt that a position will most likely take: those of a row that was met before,
/// else by its text and by the images met so far, without opening a file.
double PromptStream::Impl::cost_of(const StreamSlot& slot) const {
  const int64_t row = (*slot.order)[static_cast<size_t>(slot.index)];
  if (const auto known = tokens.find({slot.list, row}); known != tokens.end())
    return static_cast<double>(known->second);
  const auto& record = files[slot.list].records[static_cast<size_t>(row)];
  if (!record) return 0.0;
  constexpr double kTokensOfImage = 256.0, kBytesOfToken = 4.0;
  const double of_image = num_images == 0
                              ? kTokensOfImage
                              : static_cast<double>(image_tokens) / static_cast<double>(num_images);
  size_t bytes = 0;
  for (const Message& message : record->messages) {
    for (const ContentPart& part : message.content) bytes += part.text.size();
  }
  return static_cast<double>(bytes) / kBytesOfToken +
         of_image * static_cast<double>(record->images.size());
}

/// The rank of each of a step's positions: the same on all ranks, which know the same rows.
std::vector<int64_t> PromptStream::Impl::owners_of(const std::vector<int64_t>& wanted) {
  if (sharing.size == 1) return std::vector<int64_t>(wanted.size(), 0);
  std::vector<double> costs;
  for (const StreamSlot& slot : slots_of(wanted)) costs.push_back(cost_of(slot));
  return deal(costs, sharing.size);
}

std::vector<int64_t> PromptStream::Impl::unready(const std::vector<int64_t>& wanted,
                                                 const std::vector<int64_t>& owners) const {
  std::vector<int64_t> result;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (owners[i] == sharing.rank && ready.count(wanted[i]) == 0) result.push_back(wanted[i]);
  }
  return result;
}

/// Encodes in the background what of the next step's own positions is not ready.
void PromptStream::Impl::prefetch(int64_t first, int64_t count) {
  const std::vector<int64_t> wanted = positions(first, count);
  ready.erase(ready.begin(), ready.lower_bound(first));  // nobody asks for them any more
  ready.erase(ready.upper_bound(wanted.back()), ready.end());
  const std::vector<int64_t> left = unready(wanted, owners_of(wanted));
  if (left.empty()) return;
  pending = std::async(std::launch::async, [this, left] { return encode(left); });
}

Results PromptStream::Impl::take(const std::vector<int64_t>& wanted,
                                 const std::vector<int64_t>& owners) {
  collect();
  ready.merge(encode(unready(wanted, owners)));
  Results own;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (owners[i] == sharing.rank) own.insert(ready.extract(wanted[i]));
  }
  return sharing.size == 1 ? std::move(own) : exchange_results(std::move(own), sharing);
}

/// Notes that a batch has looked at a row.
void PromptStream::Impl::use(size_t list, int64_t row) {
  std::vector<bool>& used = is_used[list];
  num_used += used[static_cast<size_t>(row)] ? 0 : 1;
  used[static_cast<size_t>(row)] = true;
}

/// Notes the rows that so many draws of each list looked at, without encoding them: they follow
/// from the order and from which rows are bad.
void PromptStream::Impl::use_drawn(const std::vector<int64_t>& counts) {
  for (size_t list = 0; list < counts.size(); ++list) {
    const auto rows = order.first_epoch(list);
    const auto size = static_cast<int64_t>(rows->size());
    for (int64_t index = 0; index < std::min(counts[list], size); ++index) {
      for (int64_t i = 0; i < size; ++i) {
        const int64_t row = (*rows)[static_cast<size_t>((index + i) % size)];
        if (is_bad[list][static_cast<size_t>(row)]) continue;
        use(list, row);
        break;
      }
    }
  }
}

void PromptStream::Impl::note_tokens(const SlotResult& result) {
  if (sharing.size == 1) return;
  if (!tokens.insert({{result.list, result.row}, result.num_tokens}).second) return;
  const auto& record = files[result.list].records[static_cast<size_t>(result.row)];
  num_images += static_cast<int64_t>(record->images.size());
  image_tokens += result.num_image_tokens;
}

/// Books what one position found out, in the order of positions.
void PromptStream::Impl::settle(const SlotResult& result) {
  if (result.failure) std::rethrow_exception(result.failure);
  for (const Rejection& rejection : result.rejections) {
    use(result.list, rejection.row);
    std::vector<bool>& bad = is_bad[result.list];
    if (bad[static_cast<size_t>(rejection.row)]) continue;  // another position met it first
    bad[static_cast<size_t>(rejection.row)] = true;
    rejected.push_back({result.list, rejection.row, rejection.is_long});
    if (rejection.is_long && is_long_fatal)
      throw core::UserError(
          core::str(rejection.error.what(), ", or set data.on_long_prompt: drop"));
    rejection.is_long ? account.add_dropped(rejection.error)
                      : account.add_unusable(rejection.error);
  }
  if (result.row >= 0) {
    use(result.list, result.row);
    pixels.note({result.list, result.row}, result.pixel_hash);
    note_tokens(result);
  }
  account.check(num_used);
  if (result.row < 0) {
    throw core::UserError(core::str(files[result.list].path,
                                    ": none of its ",
                                    files[result.list].records.size(),
                                    " rows can be used (bad rows, or prompts that are too "
                                    "long); `sgrpo lint` tells why"));
  }
}

PromptStream::PromptStream(const DataOptions& options,
                           std::shared_ptr<const PromptEncoder> encoder,
                           uint64_t seed,
                           int64_t prompts_per_step,
                           Sharing sharing) {
  SGRPO_CHECK(encoder != nullptr, "PromptStream without an encoder");
  SGRPO_CHECK(prompts_per_step >= 1, "prompts_per_step is ", prompts_per_step, ", expected >= 1");
  impl_ = std::make_unique<Impl>(
      options, std::move(encoder), seed, prompts_per_step, std::move(sharing));
}

PromptStream::~PromptStream() = default;

PromptBatch PromptStream::Impl::settle_all(int64_t first, const std::vector<int64_t>& owners) {
  PromptBatch batch;
  const auto count = static_cast<int64_t>(owners.size());
  const std::vector<int64_t> taken = positions(first, count);
  Results results = take(taken, owners);
  std::map<std::string, int64_t> met;
  for (size_t i = 0; i < taken.size(); ++i) {
    SlotResult& result = results.at(taken[i]);
    settle(result);
    const std::string& id = files[result.list].records[static_cast<size_t>(result.row)]->id;
    const int64_t repeats = met[id]++;
    if (owners[i] != sharing.rank) continue;
    batch_cost.add(result.cost);
    batch.prompt_index.push_back(taken[i]);
    batch.places.push_back(static_cast<int64_t>(i));
    batch.repeats.push_back(repeats);
    batch.prompts.push_back(std::make_shared<const EncodedPrompt>(std::move(result.prompt)));
  }
  batch.epoch = static_cast<double>(passed.behind(first, count)) / static_cast<double>(num_rows);
  return batch;
}

/// Encodes the step behind `step` in the background.
void PromptStream::Impl::end_batch(int64_t step) {
  const int64_t next = position(step + 1);
  if (order.has_limits()) {
    drawn.erase(drawn.begin(), drawn.lower_bound(step));
    drawn[step + 1] = order.drawn(next);
    if (!order.is_active(step + 1)) return;  // behind the last step of the run
  }
  prefetch(next, prompts_per_step);
}

PromptBatch PromptStream::batch(int64_t step) {
  const int64_t first_step = impl_->begins.begin()->first;
  SGRPO_CHECK(step >= first_step, "step is ", step, ", expected >= ", first_step);
  impl_->collect();  // who takes what is known once nothing runs
  impl_->begins.erase(impl_->begins.upper_bound(step), impl_->begins.end());  // a step once more
  const int64_t first = impl_->position(step);
  impl_->batch_cost = {};
  const auto wanted = impl_->positions(first, impl_->prompts_per_step);
  PromptBatch batch = impl_->settle_all(first, impl_->owners_of(wanted));
  impl_->end_batch(step);
  return batch;
}

PromptBatch PromptStream::more(int64_t step, const std::vector<int64_t>& owners) {
  SGRPO_CHECK(!owners.empty(), "no prompt is asked for");
  const int64_t first = impl_->position(step + 1);
  impl_->collect();
  impl_->begins[step + 1] = impl_->passed.behind(first, static_cast<int64_t>(owners.size()));
  if (impl_->order.has_limits()) impl_->ready.clear();  // drawn for the step behind
  PromptBatch batch = impl_->settle_all(first, owners);
  impl_->end_batch(step);
  return batch;
}

ImageCost PromptStream::image_cost() const { return impl_->batch_cost; }

int64_t PromptStream::num_rows() const { return impl_->num_rows; }

int64_t PromptStream::num_used() const { return impl_->num_used; }

int64_t PromptStream::num_rejected() const { return impl_->account.num_rejected(); }

core::Json PromptStream::rejected_rows() const { return impl_->rejected; }

int64_t PromptStream::position(int64_t step) const { return impl_->position(step); }

core::Json PromptStream::pixel_hashes() const { return impl_->pixels.to_json(); }

void PromptStream::expect_pixels(const core::Json& pixel_hashes) {
  SGRPO_CHECK(!impl_->pending.valid(), "expect_pixels after the first batch");
  impl_->pixels = PixelHashes::from_json(pixel_hashes);
}

core::Json PromptStream::passed_over() const { return impl_->passed.to_json(); }

/// Where lists have their steps, what was drawn cannot be known from the position.
void PromptStream::Impl::begin_at(int64_t step, int64_t position, const core::Json& counts) {
  if (order.has_limits()) {
    std::vector<int64_t> known(files.size(), 0);
    if (!counts.is_null()) known = counts.get<std::vector<int64_t>>();
    order.begin_at(position, known);
    drawn = {{step, known}};
  }
  use_drawn(order.drawn(position));
}

core::Json PromptStream::drawn(int64_t step) const {
  if (!impl_->order.has_limits()) return nullptr;
  const auto known = impl_->drawn.find(step);
  SGRPO_CHECK(known != impl_->drawn.end(), "what was drawn before step ", step, " is not kept");
  return known->second;
}

void PromptStream::resume(int64_t step,
                          int64_t position,
                          const core::Json& rejected_rows,
                          const core::Json& passed_over,
                          const core::Json& drawn) {
  SGRPO_CHECK(!impl_->pending.valid(), "resume after the first batch");
  SGRPO_CHECK(step >= 1 && position >= 0, "step ", step, ", position ", position);
  impl_->begins = {{step, position}};
  impl_->passed = PassedOver(passed_over);
  for (const core::Json& entry : rejected_rows) {
    const auto list = entry.at(0).get<size_t>(), row = entry.at(1).get<size_t>();
    impl_->is_bad.at(list).at(row) = true;
    impl_->use(list, static_cast<int64_t>(row));
    impl_->account.add_known(entry.at(2).get<bool>());
    impl_->rejected.push_back(entry);
  }
  impl_->begin_at(step, position, drawn);
}

std::string PromptStream::fingerprint() const {
  std::string all;
  for (const TrainFile& file : impl_->files) {
    all += core::str(file.sha256, " ", file.weight);
    if (file.from_step > 1) all += core::str(" from ", file.from_step);
    if (file.until_step < std::numeric_limits<int64_t>::max())
      all += core::str(" until ", file.until_step);
    all += "\n";
  }
  return core::sha256_hex(all);
}

std::shared_ptr<const PromptRecord> PromptStream::find(const std::string& id) const {
  const auto found = impl_->by_id.find(id);
  if (found == impl_->by_id.end()) return nullptr;
  const auto& first = found->second.front();
  for (const auto& other : found->second) {
    if (other->columns == first->columns && other->images == first->images) continue;
    throw core::UserError(core::str("id '",
                                    id,
                                    "' names different rows, ",
                                    first->source.str(),
                                    " and ",
                                    other->source.str(),
                                    "; give every row its own 'id'"));
  }
  return first;
}

RowOptions row_options(const DataOptions& options) {
  RowOptions result;
  if (options.image_dir) result.image_dir = *options.image_dir;
  if (options.image_root) result.image_root = *options.image_root;
  result.ground_truth_template = options.ground_truth_template;
  return result;
}

EvalSet load_eval_set(const std::string& name,
                      const std::string& path,
                      const DataOptions& options) {
  EvalSet set{.name = name, .records = {}};
  for (RowResult& row : read_rows(path, row_options(options))) {
    if (auto* record = std::get_if<PromptRecord>(&row); record != nullptr) {
      set.records.push_back(std::make_shared<const PromptRecord>(std::move(*record)));
    } else {
      ++set.num_rejected;
      core::warn("bad row: ", std::get<RecordError>(row).what());
    }
  }
  if (set.records.empty())
    throw core::UserError(core::str(path, ": all ", set.num_rejected, " rows are bad"));
  return set;
}

}  // namespace sgrpo::data
