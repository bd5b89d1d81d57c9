#include "sgrpo/eval/generate.h"

#include <ATen/ATen.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <variant>

#include "sgrpo/checkpoint/safetensors.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/log.h"
#include "sgrpo/rollout/rollout.h"

namespace sgrpo::eval {
namespace {

using core::Json;

/// Prompts sampled at a time, so that output appears while the run goes on.
constexpr size_t kRowsAtOnce = 64;

/// One line of output a row.
class RowWriter {
 public:
  explicit RowWriter(const std::filesystem::path& path)
      : path_(path), out_(path, std::ios::binary) {
    if (!out_)
      throw core::RunError(core::str("cannot write ", path.string(), ": ", std::strerror(errno)));
  }
  void write(const Json& row) {
    out_ << core::dump_ascii(row) << '\n' << std::flush;
    if (!out_) throw core::RunError(core::str("cannot write ", path_.string(), ": disk full?"));
  }
  void write_error(const data::RecordError& error) {
    core::warn(error.what());
    write(Json{{"id", error.id()}, {"error", error.reason()}});
    ++num_bad_;
  }
  int64_t num_bad() const { return num_bad_; }

 private:
  std::filesystem::path path_;
  std::ofstream out_;
  int64_t num_bad_ = 0;
};

/// A row ready for the model, or what is wrong with it.
using EncodedRow = std::variant<EncodedPrompt, data::RecordError>;

EncodedRow encode_row(const Policy& policy, const data::RowResult& row) {
  if (const auto* bad = std::get_if<data::RecordError>(&row)) return *bad;
  try {
    return policy.encoder->encode(std::make_shared<PromptRecord>(std::get<PromptRecord>(row)));
  } catch (const data::RecordError& error) {
    return error;
  }
}

/// The ids of generation_config.json alone, as transformers has them: a base model's file may leave
/// out the turn end.
std::vector<int64_t> end_token_ids(const Policy& policy) {
  const data::EncoderSpec& spec = policy.encoder->spec();
  if (spec.end_ids.empty()) return policy.end_token_ids;
  if (spec.end_ids.size() < policy.end_token_ids.size()) {
    core::warn(policy.folder->folder().string(),
               ": eos_token_id (generation_config.json, else config.json) leaves out the turn end ",
               spec.turn_end_id,
               ", with which a trained completion ends: completions go on after it");
  }
  return spec.end_ids;
}

rollout::SamplingOptions sampling_of(const Policy& policy, const GenerateOptions& options) {
  rollout::SamplingOptions sampling;
  sampling.group_size = options.group_size;
  sampling.max_new_tokens = options.max_new_tokens;
  sampling.temperature = options.temperature;
  sampling.top_p = options.top_p;
  sampling.top_k = options.top_k;
  sampling.greedy = options.greedy;
  sampling.ignore_eos = options.ignore_eos;
  sampling.seed = options.seed;
  sampling.max_batch_rows = options.max_batch_rows;
  sampling.end_token_ids = end_token_ids(policy);
  sampling.masked_ids = policy.masked_ids;
  return sampling;
}

void write_group(const Policy& policy, const RolloutGroup& group, RowWriter& writer) {
  for (int64_t index = 0; index < group.size(); ++index) {
    const Completion& completion = group.members[static_cast<size_t>(index)].completion;
    writer.write(Json{{"id", group.prompt->record->id},
                      {"index", index},
                      {"completion", policy.encoder->completion_text(completion.token_ids)},
                      {"completion_ids", completion.token_ids},
                      {"logprobs", completion.sampler_logprobs},
                      {"finish_reason", to_string(completion.finish_reason)}});
  }
}

at::Tensor ids_tensor(const std::vector<int64_t>& ids) { return at::tensor(ids, at::kLong); }

std::vector<float> floats(const at::Tensor& tensor) {
  const at::Tensor host = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
  return {host.const_data_ptr<float>(), host.const_data_ptr<float>() + host.numel()};
}

/// Ids as given, else those of the text.
std::vector<int64_t> read_completion(const Policy& policy, const PromptRecord& record) {
  if (core::find(record.columns, "completion_ids") != nullptr)
    return core::get_int_list(record.columns, "completion_ids", "the row");
  if (!record.completion) throw core::UserError("the row has no 'completion' to score");
  return policy.encoder->completion_ids(*record.completion);
}

/// The completion that a row is scored for. Throws RecordError if it has none or an unusable one.
std::vector<int64_t> completion_of(const Policy& policy, const PromptRecord& record) {
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
  if (const std::string bad = find_bad_id(policy, ids); !bad.empty())
    refuse("the completion holds " + bad);
  return ids;
}

void write_gradient(const Policy& policy,
                    const rollout::Scores& scores,
                    const std::filesystem::path& path) {
  (-scores.logprobs.mean()).backward();
  std::vector<std::pair<std::string, at::Tensor>> grads;
  for (const model::Parameter& parameter : model::trainable_parameters(*policy.model)) {
    const at::Tensor& grad = parameter.tensor.grad();
    grads.emplace_back(parameter.name,
                       grad.defined() ? grad : at::zeros(parameter.tensor.sizes(), at::kFloat));
  }
  checkpoint::write_safetensors(path, grads);
}

}  // namespace

TrainBatch single_batch(const EncodedPrompt& prompt, const std::vector<int64_t>& completion_ids) {
  const int64_t prompt_tokens = prompt.num_tokens(),
                length = static_cast<int64_t>(completion_ids.size());
  const int64_t tokens = prompt_tokens + length - 1;
  TrainBatch batch;
  batch.labels = ids_tensor(completion_ids);
  batch.input.token_ids = at::cat({prompt.token_ids, batch.labels.slice(0, 0, length - 1)});
  const at::Tensor tail =
      at::arange(prompt.next_position(), prompt.next_position() + length - 1, at::kLong);
  batch.input.position_ids = at::cat({prompt.position_ids, tail.expand({3, length - 1})}, 1);
  batch.input.pixel_values = prompt.patches.pixel_values;
  batch.input.grid_thw = prompt.patches.grid_thw;
  batch.input.segments.rows =
      at::tensor({int64_t{0}, tokens, int64_t{0}, int64_t{0}, int64_t{0}, tokens}).view({1, 6});
  batch.logit_rows = at::arange(prompt_tokens - 1, tokens, at::kLong);
  batch.sequence_index = at::zeros({length}, at::kLong);
  batch.cu_seqlens = at::tensor({0, static_cast<int>(length)}, at::kInt);
  batch.loss_mask = at::ones({length}, at::kBool);
  batch.advantages = at::ones({length}, at::kFloat);
  batch.is_injected = at::zeros({length}, at::kBool);
  batch.group_of_sequence = {0};
  batch.num_loss_tokens_global = length;
  batch.num_sequences_global = 1;
  return batch;
}

int64_t generate_file(const Policy& policy,
                      const std::filesystem::path& input,
                      const std::filesystem::path& output,
                      const GenerateOptions& options) {
  const auto rows = data::read_rows(input, {});
  const rollout::SamplingOptions sampling = sampling_of(policy, options);
  RowWriter writer(output);
  for (size_t begin = 0; begin < rows.size(); begin += kRowsAtOnce) {
    std::vector<EncodedRow> encoded;
    for (size_t i = begin; i < std::min(rows.size(), begin + kRowsAtOnce); ++i)
      encoded.push_back(encode_row(policy, rows[i]));
    std::vector<rollout::SamplingRequest> requests;
    for (size_t i = 0; i < encoded.size(); ++i) {
      if (const auto* prompt = std::get_if<EncodedPrompt>(&encoded[i]))
        requests.push_back({prompt, static_cast<int64_t>(begin + i)});
    }
    const auto groups = rollout::sample_groups(*policy.model, requests, sampling);
    auto group = groups.begin();
    for (const EncodedRow& row : encoded) {
      if (const auto* bad = std::get_if<data::RecordError>(&row)) {
        writer.write_error(*bad);
      } else {
        write_group(policy, *group++, writer);
      }
    }
  }
  return writer.num_bad();
}

int64_t logprobs_file(const Policy& policy,
                      const std::filesystem::path& input,
                      const std::filesystem::path& output,
                      const LogprobOptions& options) {
  const auto rows = data::read_rows(input, {});
  if (options.grad && rows.size() != 1) {
    throw core::UserError(
        core::str("--grad needs exactly one input row, ", input.string(), " has ", rows.size()));
  }
  const at::Tensor masked =
      options.use_sampling_mask ? ids_tensor(policy.masked_ids) : at::empty({0}, at::kLong);
  RowWriter writer(output);
  for (const data::RowResult& row : rows) {
    if (core::stop_requested()) throw core::Interrupted("stopped by a signal while scoring");
    try {
      const EncodedRow encoded = encode_row(policy, row);
      if (const auto* bad = std::get_if<data::RecordError>(&encoded)) throw *bad;
      const EncodedPrompt* prompt = &std::get<EncodedPrompt>(encoded);
      const auto completion = completion_of(policy, *prompt->record);
      const at::AutoGradMode with_gradient(options.grad.has_value());
      const rollout::Scores scores = rollout::score(
          *policy.model, single_batch(*prompt, completion), masked, options.temperature);
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

}  // namespace sgrpo::eval
