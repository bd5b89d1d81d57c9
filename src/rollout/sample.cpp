#include <ATen/ATen.h>

#include "rollout/decode.h"
#include "sgrpo/core/check.h"

namespace sgrpo::rollout {
namespace {

/// Tokens decoded between two looks at what else may be done.
constexpr int64_t kChunk = 16;

void check_request(const SamplingRequest& request, int64_t vocab_size) {
  SGRPO_CHECK(request.prompt != nullptr, "a sampling request has no prompt");
  SGRPO_CHECK(request.num_samples >= 1, "num_samples is ", request.num_samples, ", expected >= 1");
  SGRPO_CHECK(request.options.max_new_tokens >= 1,
              "max_new_tokens is ",
              request.options.max_new_tokens,
              ", expected >= 1");
  for (const int64_t id : request.forced_ids) {
    SGRPO_CHECK(id >= 0 && id < vocab_size, "forced id ", id, ", expected 0..", vocab_size - 1);
  }
  for (const std::string& text : request.options.stop_texts)
    SGRPO_CHECK(!text.empty(), "a stop text is empty: every completion would end with nothing");
}

}  // namespace

void sample(const model::Model& model,
            const std::vector<SamplingRequest>& requests,
            const DecodeOptions& options,
            const GroupSink& finished) {
  SGRPO_CHECK(
      options.max_batch_rows >= 1, "max_batch_rows is ", options.max_batch_rows, ", expected >= 1");
  const at::NoGradGuard no_grad;
  for (const SamplingRequest& request : requests) check_request(request, model.spec().vocab_size);
  size_t begin = 0;
  while (begin < requests.size()) {
    size_t end = begin;
    int64_t rows = 0;
    do {
      rows += requests[end++].num_samples;
    } while (end < requests.size() && rows + requests[end].num_samples <= options.max_batch_rows);
    Decoder decoder(model,
                    {requests.begin() + static_cast<std::ptrdiff_t>(begin),
                     requests.begin() + static_cast<std::ptrdiff_t>(end)},
                    begin,
                    options);
    while (!decoder.is_done()) decoder.advance(kChunk, finished);
    begin = end;
  }
}

std::vector<int64_t> sampling_mask(const model::ModelSpec& spec, int64_t tokenizer_size) {
  std::vector<int64_t> ids;
  for (const int64_t id : {spec.image_token_id, spec.video_token_id}) {
    if (id >= 0 && id < tokenizer_size) ids.push_back(id);
  }
  for (int64_t id = tokenizer_size; id < spec.vocab_size; ++id) ids.push_back(id);
  return ids;
}

}  // namespace sgrpo::rollout
