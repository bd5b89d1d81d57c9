#include "trainer/retention.h"

#include <algorithm>
#include <cmath>
#include <system_error>

#include "sgrpo/algorithm/injection.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/log.h"
#include "sgrpo/core/sha256.h"
#include "sgrpo/core/text.h"
#include "sgrpo/data/encoder.h"
#include "sgrpo/eval/evaluate.h"
#include "sgrpo/telemetry/telemetry.h"
#include "trainer/side_stream.h"

namespace sgrpo::trainer {
namespace {

/// Keys of retention rows lie behind all positions of the training stream: no random number is
/// shared.
constexpr int64_t kFirstIndex = int64_t{1} << 40;

/// Rows answered at a time: images of a large file never live in memory together.
constexpr int64_t kRowsAtOnce = 64;

data::EncoderSpec retention_spec(data::EncoderSpec spec, const RunConfig& config, Task task) {
  spec = side_spec(std::move(spec), config, task);
  if (config.retention.kind != RetentionKind::kRows) return spec;  // nobody learns ground truths
  spec.max_ground_truth_tokens = ground_truth_limit(config, task);
  spec.check_record = [](const PromptRecord& record) {
    if (given_answer(record)) return;
    throw core::UserError(
        "no completion, ground_truth_completion or ground_truth to retain, which retention.kind: "
        "rows needs");
  };
  return spec;
}

/// Whatever `rewards` and the rows say: an answer is retained or it is not.
verifier::VerifierSet exact_verifier(const RunConfig& config) {
  verifier::VerifierOptions options = config.verifier;
  options.name = "exact";
  options.params = core::Json::object();
  return {options, core::Json::object(), core::Json::array()};
}

std::filesystem::path answer_file(const RunConfig& config) {
  return std::filesystem::path(config.output_dir) / "retention.jsonl";
}

}  // namespace

int64_t retention_rows(const RunConfig& config) {
  if (!config.retention.data) return 0;
  const double share = config.retention.weight / (1.0 - config.retention.weight);
  return std::max<int64_t>(
      1, std::llround(share * static_cast<double>(config.trainer.prompts_per_step)));
}

Retention::Retention(const RunConfig& config,
                     Task task,
                     const data::PromptEncoder& encoder,
                     data::Sharing sharing)
    : config_(config),
      sharing_(std::move(sharing)),
      encoder_(std::make_shared<data::PromptEncoder>(retention_spec(encoder.spec(), config, task))),
      exact_(exact_verifier(config)) {}

std::unique_ptr<data::PromptStream> Retention::open_stream(int64_t prompts_per_step,
                                                           const data::Sharing& sharing) const {
  return open_side_stream(
      {*config_.retention.data, kFirstIndex, prompts_per_step}, config_, encoder_, sharing);
}

void Retention::open(const policy::Policy& start, int64_t finished_steps, const core::Json* saved) {
  const std::string where = "state.json: retention";
  const int64_t position = saved == nullptr ? 0 : core::get_int(*saved, "position", where, 0);
  core::Json rejected = saved == nullptr ? core::Json::array() : saved->at("rejected_rows");
  const int64_t per_step = retention_rows(config_);
  if (config_.retention.kind == RetentionKind::kSelf) {
    if (saved != nullptr && answers_.empty()) load_answers(*saved);
    const int64_t until =
        position + std::max<int64_t>(0, config_.trainer.steps - finished_steps) * per_step;
    if (until > covered_) rejected = answer_rows(start, until, rejected);
  }
  begin_ = {{"step", finished_steps + 1}, {"position", position}, {"rejected_rows", rejected}};
  begin_stream();
}

void Retention::begin_stream() {
  stream_ = open_stream(retention_rows(config_), sharing_);
  stream_->resume(begin_.at("step").get<int64_t>(),
                  begin_.at("position").get<int64_t>(),
                  begin_.at("rejected_rows"));
}

core::Json Retention::opened() const {
  return {{"lines", answer_lines()}, {"covered", covered_}, {"begin", begin_}};
}

void Retention::open_as(const core::Json& opened) {
  answers_.clear();
  answer_order_.clear();
  for (const std::string& line : core::split(opened.at("lines").get<std::string>(), '\n'))
    if (!line.empty()) take_line(core::parse_json(line, "rank 0"));
  covered_ = opened.at("covered").get<int64_t>();
  begin_ = opened.at("begin");
  begin_stream();
}

/// The answers of the checkpoint's run: the first lines of the file, unchanged.
void Retention::load_answers(const core::Json& saved) {
  const std::string where = answer_file(config_).string();
  const core::Json* rows = core::find(saved, "rows");
  if (rows == nullptr) return;  // another kind of retention until now
  std::error_code error;
  const std::string text =
      std::filesystem::exists(where, error) ? core::read_file(where) : std::string();
  size_t end = 0;
  for (int64_t line = 1; line <= rows->get<int64_t>(); ++line) {
    const size_t newline = text.find('\n', end);
    if (newline == std::string::npos) break;
    take_line(core::parse_json(std::string_view(text).substr(end, newline - end),
                               core::str(where, ":", line)));
    end = newline + 1;
  }
  if (core::sha256_hex(text.substr(0, end)) != saved.at("sha256").get<std::string>()) {
    throw core::UserError(core::str(where,
                                    " is not what the checkpoint was trained with (",
                                    rows->get<int64_t>(),
                                    " answers of the start model): put the file back, or choose "
                                    "another output_dir"));
  }
  covered_ = core::get_int(saved, "covered", where, 0);
}

/// A line of the file.
void Retention::take_line(const core::Json& row) {
  Answer answer;
  answer.id = row.at("id").get<std::string>();
  answer.text = row.at("completion").get<std::string>();
  answer.token_ids = row.at("completion_ids").get<std::vector<int64_t>>();
  if (row.at("finish_reason") == "length") answer.finish_reason = FinishReason::kLength;
  const auto line = row.at("line").get<int64_t>();
  answer_order_.push_back(line);
  answers_[line] = std::move(answer);
}

/// Answers the rows of the positions from `covered_` to `until`; the rows found unusable.
core::Json Retention::answer_rows(const policy::Policy& start,
                                  int64_t until,
                                  const core::Json& rejected) {
  const auto stream = open_stream(kRowsAtOnce, /*sharing=*/{});
  stream->resume(1, covered_, rejected);
  const auto is_all_answered = [&] {
    return static_cast<int64_t>(answers_.size()) + stream->num_rejected() >= stream->num_rows();
  };
  core::info("retention: the start model answers the rows of ", *config_.retention.data);
  telemetry::Progress bar("retention", until - covered_);
  for (int64_t step = 1; covered_ < until && !is_all_answered(); ++step) {
    answer(start, stream->batch(step));
    const int64_t done = std::min(kRowsAtOnce, until - covered_);
    covered_ += kRowsAtOnce;
    bar.advance(done);
  }
  bar.finish();
  if (is_all_answered()) covered_ = std::max(covered_, until);
  core::write_file_atomic(answer_file(config_), answer_lines());
  return stream->rejected_rows();
}

void Retention::answer(const policy::Policy& start, const PromptBatch& prompts) {
  SamplingOptions sampling = rollout::sampling_options(config_.rollout);
  sampling.end_token_ids = start.end_token_ids();
  sampling.greedy = true;
  sampling.temperature = 1.0;
  std::vector<SamplingRequest> requests;
  for (const auto& prompt : prompts.prompts) {
    const int64_t line = prompt->record->source.line;
    if (!answers_.try_emplace(line).second) continue;
    answer_order_.push_back(line);
    requests.push_back({.prompt = prompt, .num_samples = 1, .options = sampling});
  }
  start.sample(requests, [&](size_t request, RolloutGroup&& group) {
    Completion& completion = group.members.front().completion;
    const PromptRecord& record = *requests[request].prompt->record;
    answers_[record.source.line] = {.id = record.id,
                                    .text = std::move(completion.text),
                                    .token_ids = std::move(completion.token_ids),
                                    .finish_reason = completion.finish_reason};
  });
}

std::string Retention::answer_lines() const {
  std::string lines;
  for (const int64_t line : answer_order_) {
    const Answer& answer = answers_.at(line);
    lines += core::dump_ascii(core::Json{{"id", answer.id},
                                         {"line", line},
                                         {"completion", answer.text},
                                         {"completion_ids", answer.token_ids},
                                         {"finish_reason", to_string(answer.finish_reason)}}) +
             "\n";
  }
  return lines;
}

/// The prompt with what it is to be answered with as its ground truth, and no verifier of its own.
std::shared_ptr<const EncodedPrompt> Retention::answered(const EncodedPrompt& prompt) const {
  if (config_.retention.kind == RetentionKind::kSelf) {
    const Answer& answer = answers_.at(prompt.record->source.line);
    return with_answer(prompt, answer.text, answer.token_ids);
  }
  const std::string& text = *given_answer(*prompt.record);
  return with_answer(prompt, text, encoder_->completion_ids(text));
}

PromptBatch Retention::next(int64_t step) {
  PromptBatch batch = stream_->batch(step);
  for (int64_t& index : batch.prompt_index) index += kFirstIndex;
  if (config_.retention.kind == RetentionKind::kKl) return batch;
  for (auto& prompt : batch.prompts) prompt = answered(*prompt);
  return batch;
}

std::vector<RolloutGroup> Retention::judge(std::vector<RolloutGroup> groups) const {
  return algorithm::classify(eval::judge_groups(std::move(groups), exact_));
}

core::Json Retention::state(int64_t finished_steps) const {
  core::Json state = {{"position", stream_->position(finished_steps + 1)},
                      {"rejected_rows", stream_->rejected_rows()}};
  if (config_.retention.kind != RetentionKind::kSelf) return state;
  state["rows"] = answer_order_.size();
  state["sha256"] = core::sha256_hex(answer_lines());
  state["covered"] = covered_;
  return state;
}

}  // namespace sgrpo::trainer
