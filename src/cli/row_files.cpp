#include "cli/row_files.h"

#include <ATen/ATen.h>

#include <limits>
#include <variant>

#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/log.h"

namespace sgrpo::cli {
namespace {

using core::Json;

/// Prompts sampled at a time, so that output appears while the run goes on.
constexpr size_t kRowsAtOnce = 64;

/// A row is scored as a whole, whatever its length.
constexpr int64_t kWholeRow = std::numeric_limits<int64_t>::max();

/// One line of output a row.
class RowFileWriter {
 public:
  explicit RowFileWriter(const std::filesystem::path& path)
      : out_(path, core::AppendFile::Open::kReplace) {}
  void write(const Json& row) { out_.append(core::dump_ascii(row) + "\n"); }
  void write_error(const data::RecordError& error) {
    core::warn(error.what());
    write(Json{{"id", error.id()}, {"error", error.reason()}});
    ++num_bad_;
  }
  int64_t num_bad() const { return num_bad_; }

 private:
  core::AppendFile out_;
  int64_t num_bad_ = 0;
};

/// A row ready for the model, or what is wrong with it.
using EncodedRow = std::variant<std::shared_ptr<const EncodedPrompt>, data::RecordError>;

EncodedRow encode_row(const policy::Policy& policy, const data::RowResult& row) {
  if (const auto* bad = std::get_if<data::RecordError>(&row)) return *bad;
  try {
    return std::make_shared<const EncodedPrompt>(
        policy.encoder()->encode(std::make_shared<PromptRecord>(std::get<PromptRecord>(row))));
  } catch (const data::RecordError& error) {
    return error;
  }
}

/// The ids of generation_config.json alone, as transformers has them: a base model's file may leave
/// out the turn end.
std::vector<int64_t> end_token_ids(const policy::Policy& policy) {
  const data::EncoderSpec& spec = policy.encoder()->spec();
  if (spec.end_ids.empty()) return policy.end_token_ids();
  if (spec.end_ids.size() < policy.end_token_ids().size()) {
    core::warn(policy.where(),
               ": eos_token_id (generation_config.json, else config.json) leaves out the turn end ",
               spec.turn_end_id,
               ", with which a trained completion ends: completions go on after it");
  }
  return spec.end_ids;
}

SamplingOptions sampling_of(const policy::Policy& policy, const GenerateOptions& options) {
  SamplingOptions sampling = options.sampling;
  if (!options.ignore_eos) sampling.end_token_ids = end_token_ids(policy);
  return sampling;
}

void write_group(const policy::Policy& policy, const RolloutGroup& group, RowFileWriter& writer) {
  for (int64_t index = 0; index < group.size(); ++index) {
    const Completion& completion = group.members[static_cast<size_t>(index)].completion;
    writer.write(Json{{"id", group.prompt->record->id},
                      {"index", index},
                      {"completion", policy.encoder()->completion_text(completion.token_ids)},
                      {"completion_ids", completion.token_ids},
                      {"logprobs", completion.sampler_logprobs},
                      {"finish_reason", to_string(completion.finish_reason)}});
  }
}

std::vector<float> floats(const at::Tensor& tensor) {
  const at::Tensor host = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
  return {host.const_data_ptr<float>(), host.const_data_ptr<float>() + host.numel()};
}

/// Ids as given, else those of the text.
std::vector<int64_t> read_completion(const policy::Policy& policy, const PromptRecord& record) {
  if (core::find(record.columns, "completion_ids") != nullptr)
    return core::get_int_list(record.columns, "completion_ids", "the row");
  if (!record.completion) throw core::UserError("the row has no 'completion' to score");
  return policy.encoder()->completion_ids(*record.completion);
}

/// The completion that a row is scored for. Throws RecordError if it has none or an unusable one.
std::vector<int64_t> completion_of(const policy::Policy& policy, const PromptRecord& record) {
  const auto refuse = [&](const std::string& reason) {
    throw data::RecordError(record.source, record.id, reason);
  };
  std::vector<int64_t> ids;
  try {
    ids = read_completion(policy, record);
  } catch (const core::UserError& error) {
    refuse(error.what());
  }
  if (ids.empty()) refuse("'completion_ids' is an empty list");
  if (const std::string bad = policy.find_bad_id(ids, /*masked=*/false); !bad.empty())
    refuse("the completion holds " + bad);
  return ids;
}

void write_gradient(policy::Policy& policy,
                    const Scores& scores,
                    const std::filesystem::path& path) {
  (-scores.logprobs.mean()).backward();
  std::vector<std::pair<std::string, at::Tensor>> grads;
  for (const ParameterSegment& segment : policy.arena().segments) {
    const at::Tensor& grad = segment.weight.grad();
    grads.emplace_back(segment.name,
                       grad.defined() ? grad : at::zeros(segment.weight.sizes(), at::kFloat));
  }
  checkpoint::write_safetensors(path, grads);
}

/// Samples the good rows of a chunk and writes all of them in their order.
void generate_chunk(const policy::Policy& policy,
                    const std::vector<EncodedRow>& rows,
                    size_t first_row,
                    const GenerateOptions& options,
                    RowFileWriter& writer) {
  std::vector<SamplingRequest> requests;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto* prompt = std::get_if<std::shared_ptr<const EncodedPrompt>>(&rows[i]);
    if (prompt == nullptr) continue;
    requests.push_back({.prompt = *prompt,
                        .num_samples = options.group_size,
                        .key = {.seed = options.seed, .prompt_index = first_row + i},
                        .options = sampling_of(policy, options)});
  }
  std::vector<RolloutGroup> groups(requests.size());
  policy.sample(requests,
                [&](size_t request, RolloutGroup&& group) { groups[request] = std::move(group); });
  auto group = groups.begin();
  for (const EncodedRow& row : rows) {
    if (const auto* bad = std::get_if<data::RecordError>(&row)) {
      writer.write_error(*bad);
    } else {
      write_group(policy, *group++, writer);
    }
  }
}

}  // namespace

int64_t generate_file(const policy::Policy& policy,
                      const std::filesystem::path& input,
                      const std::filesystem::path& output,
                      const GenerateOptions& options) {
  const auto rows = data::read_rows(input, {});
  RowFileWriter writer(output);
  for (size_t begin = 0; begin < rows.size(); begin += kRowsAtOnce) {
    std::vector<EncodedRow> encoded;
    for (size_t i = begin; i < std::min(rows.size(), begin + kRowsAtOnce); ++i)
      encoded.push_back(encode_row(policy, rows[i]));
    generate_chunk(policy, encoded, begin, options, writer);
  }
  return writer.num_bad();
}

int64_t logprobs_file(policy::Policy& policy,
                      const std::filesystem::path& input,
                      const std::filesystem::path& output,
                      const LogprobOptions& options) {
  const auto rows = data::read_rows(input, {});
  if (options.grad && rows.size() != 1) {
    throw core::UserError(
        core::str("--grad needs exactly one input row, ", input.string(), " has ", rows.size()));
  }
  RowFileWriter writer(output);
  for (const data::RowResult& row : rows) {
    if (core::stop_requested()) throw core::Interrupted("stopped by a signal while scoring");
    try {
      const EncodedRow encoded = encode_row(policy, row);
      if (const auto* bad = std::get_if<data::RecordError>(&encoded)) throw *bad;
      const auto& prompt = std::get<std::shared_ptr<const EncodedPrompt>>(encoded);
      const auto completion = completion_of(policy, *prompt->record);
      const at::AutoGradMode with_gradient(options.grad.has_value());
      const auto batches = policy.pack(
          {completion_row(prompt, completion)},
          {.temperature = options.temperature, .sampling_mask = options.use_sampling_mask},
          {.tokens = kWholeRow, .share_prefix = false});
      const Scores scores = policy.score(batches.front());
      const at::Tensor& ids = prompt->token_ids;
      writer.write(Json{{"id", prompt->record->id},
                        {"prompt_ids",
                         std::vector<int64_t>(ids.const_data_ptr<int64_t>(),
                                              ids.const_data_ptr<int64_t>() + ids.numel())},
                        {"completion_ids", completion},
                        {"logprobs", floats(scores.logprobs)},
                        {"entropy", floats(scores.entropy)}});
      if (options.grad) write_gradient(policy, scores, *options.grad);
    } catch (const data::RecordError& error) {
      writer.write_error(error);
    }
  }
  return writer.num_bad();
}

}  // namespace sgrpo::cli
