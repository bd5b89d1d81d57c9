#include "sgrpo/data/encoder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "data/thread_clock.h"
#include "sgrpo/core/check.h"
#include "sgrpo/core/sha256.h"
#include "sgrpo/image/image_file.h"

namespace sgrpo::data {
namespace {

using core::str;
using core::UserError;

constexpr const char* kNoImages =
    "the row has images, but the model takes text only; choose a vision-language checkpoint or "
    "remove the row";

// Everything here copies by hand instead of calling at::cat and the like: the encoder runs on
// worker threads, where a parallel operator would start an OpenMP team of its own.

at::Tensor to_tensor(const std::vector<int64_t>& values) {
  at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<int64_t>());
  return tensor;
}

/// All images of a prompt as one record, in order. `patch_dim` is the width without any image.
PixelPatches join_patches(const std::vector<PixelPatches>& images, int64_t patch_dim) {
  if (images.size() == 1) return images.front();
  int64_t rows = 0;
  for (const PixelPatches& image : images) rows += image.pixel_values.size(0);
  PixelPatches joined{.pixel_values = at::empty({rows, patch_dim}, at::kFloat),
                      .grid_thw = at::empty({static_cast<int64_t>(images.size()), 3}, at::kLong)};
  auto* values = joined.pixel_values.mutable_data_ptr<float>();
  auto* grids = joined.grid_thw.mutable_data_ptr<int64_t>();
  for (const PixelPatches& image : images) {
    values =
        std::copy_n(image.pixel_values.const_data_ptr<float>(), image.pixel_values.numel(), values);
    grids = std::copy_n(image.grid_thw.const_data_ptr<int64_t>(), 3, grids);
  }
  return joined;
}

int64_t tokens_of(const PixelPatches& image, int64_t merge_size) {
  const auto* grid = image.grid_thw.const_data_ptr<int64_t>();
  return image::num_image_tokens(grid[0], grid[1], grid[2], merge_size);
}

/// Repeats the n-th placeholder as often as the n-th image has tokens.
std::vector<int64_t> expand_placeholders(const std::vector<int64_t>& ids,
                                         int64_t image_token_id,
                                         const std::vector<int64_t>& tokens_per_image) {
  std::vector<int64_t> expanded;
  size_t image = 0;
  for (const int64_t id : ids) {
    const int64_t repeats = id == image_token_id ? tokens_per_image[image++] : 1;
    expanded.insert(expanded.end(), static_cast<size_t>(repeats), id);
  }
  return expanded;
}

std::vector<int64_t> places_of(int64_t id, const std::vector<int64_t>& ids) {
  std::vector<int64_t> places;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == id) places.push_back(static_cast<int64_t>(i));
  }
  return places;
}

/// 64 bits of a patch: multiply and shift, in four chains that the processor runs side by side. Not
/// cryptographic, but fast; the SHA over all fingerprints keeps their order.
uint64_t fingerprint(const float* values, int64_t count) {
  constexpr uint64_t kFactor = 0xD6E8FEB86659FD93U;
  constexpr int64_t kChains = 4, kBlock = 2 * kChains;  // two floats a word
  std::array<uint64_t, kChains> chains = {static_cast<uint64_t>(count), 1, 2, 3};
  const auto add = [](uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * kFactor;
    return hash ^ hash >> 32;
  };
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    std::array<uint64_t, kChains> words{};
    std::memcpy(words.data(), values + i, sizeof(words));
    for (size_t c = 0; c < kChains; ++c) chains[c] = add(chains[c], words[c]);
  }
  uint64_t hash = 0x9E3779B97F4A7C15U;
  for (const uint64_t chain : chains) hash = add(hash, chain);
  for (; i < count; ++i) {
    uint32_t word = 0;
    std::memcpy(&word, values + i, sizeof(word));
    hash = add(hash, word);
  }
  return hash;
}

void hash_values(const at::Tensor& tensor, core::Sha256& sha) {
  const int64_t count = tensor.numel();  // lengths keep the parts apart
  sha.update(&count, sizeof(count));
  sha.update(tensor.const_data_ptr(), tensor.nbytes());
}

void hash_pictures(const PixelPatches& patches, core::Sha256& sha) {
  hash_values(patches.grid_thw, sha);
  const int64_t rows = patches.pixel_values.size(0), width = patches.pixel_values.size(1);
  const auto* values = patches.pixel_values.const_data_ptr<float>();
  for (int64_t i = 0; i < rows; ++i) {
    const uint64_t hash = fingerprint(values + i * width, width);
    sha.update(&hash, sizeof(hash));
  }
}

size_t count_id(const std::vector<int64_t>& ids, int64_t id) {
  return id < 0 ? 0 : static_cast<size_t>(std::count(ids.begin(), ids.end(), id));
}

/// One chunk by itself: what it holds, its ids, the size that its image gets.
void check_chunk(const PromptChunk& chunk, const EncoderSpec& spec) {
  const int64_t vocabulary = spec.tokenizer->size();
  for (const int64_t id : chunk.token_ids) {
    if (id < 0 || id >= vocabulary)
      throw UserError(str("a chunk holds token id ", id, ", expected 0..", vocabulary - 1));
  }
  if (!chunk.image) return;
  if (!chunk.token_ids.empty())
    throw UserError("a chunk holds both token ids and an image, expected one of them");
  if (spec.image_token_id < 0) throw UserError(kNoImages);
  if (!chunk.expected_tokens) return;
  const image::ImageFile file(*chunk.image);
  const int64_t tokens = file.num_tokens(image::with_limits(*spec.processor, chunk.image->limits));
  if (tokens != *chunk.expected_tokens)
    throw UserError(str(chunk.image->name(),
                        " takes ",
                        tokens,
                        " tokens, expected ",
                        *chunk.expected_tokens,
                        "; was it encoded with other pixel limits?"));
}

}  // namespace

PromptEncoder::PromptEncoder(EncoderSpec spec) : spec_(std::move(spec)) {
  SGRPO_CHECK(spec_.tokenizer != nullptr, "EncoderSpec without a tokenizer");
  SGRPO_CHECK(spec_.max_prompt_tokens > 0, "max_prompt_tokens is ", spec_.max_prompt_tokens);
  SGRPO_CHECK(spec_.image_token_id < 0 || spec_.processor,
              "EncoderSpec has an image token but no image processor");
}

EncodedPrompt PromptEncoder::encode(const std::shared_ptr<const PromptRecord>& record) const {
  ImageCost cost;
  return encode(record, cost);
}

EncodedPrompt PromptEncoder::encode(const std::shared_ptr<const PromptRecord>& record,
                                    ImageCost& cost) const {
  SGRPO_CHECK(record != nullptr, "encode: no record");
  try {
    return encode_unchecked(record, cost);
  } catch (const RecordError&) {
    throw;
  } catch (const UserError& error) {
    throw RecordError(record->source, record->id, error.what());
  }
}

std::vector<int64_t> PromptEncoder::render(const PromptRecord& record) const {
  if (!spec_.chat) throw UserError("the model folder has no chat template");
  if (record.messages.empty()) throw UserError("the row has no 'prompt'");
  if (spec_.image_token_id < 0 && !record.images.empty()) throw UserError(kNoImages);
  if (record.completion_was_last_turn && !spec_.takes_last_turn) throw UserError(kLastTurnReason);
  std::vector<int64_t> ids = spec_.tokenizer->encode(spec_.chat->render(record.messages, true));
  if (count_id(ids, spec_.image_token_id) != record.images.size() ||
      count_id(ids, spec_.video_token_id) != 0)
    throw UserError(
        "a text part of the prompt contains an image or video placeholder token; remove it");
  return ids;
}

EncodedPrompt PromptEncoder::encode_unchecked(const std::shared_ptr<const PromptRecord>& record,
                                              ImageCost& cost) const {
  if (spec_.check_record) spec_.check_record(*record);
  const std::vector<int64_t> ids = render(*record);
  std::vector<int64_t> ground_truth = ground_truth_ids(*record);
  std::vector<const ImageSource*> sources;
  for (const ImageSource& image : record->images) sources.push_back(&image);
  const auto text_tokens = static_cast<int64_t>(ids.size() - sources.size());
  EncodedPrompt prompt = assemble(ids, load_images(sources, text_tokens, *record, cost));
  prompt.record = record;
  prompt.ground_truth_ids = std::move(ground_truth);
  return prompt;
}

EncodedPrompt PromptEncoder::assemble(const std::vector<int64_t>& ids,
                                      const std::vector<PixelPatches>& images) const {
  const bool takes_images = spec_.image_token_id >= 0;
  const int64_t merge = takes_images ? spec_.processor->merge_size : 1;
  std::vector<int64_t> tokens_per_image;
  for (const PixelPatches& image : images) tokens_per_image.push_back(tokens_of(image, merge));
  const auto expanded = expand_placeholders(ids, spec_.image_token_id, tokens_per_image);
  EncodedPrompt prompt;
  prompt.token_ids = to_tensor(expanded);
  if (takes_images) prompt.image_rows = places_of(spec_.image_token_id, expanded);
  prompt.patches = join_patches(images, takes_images ? spec_.processor->patch_dim() : 0);
  prompt.position_ids =
      mrope_positions(expanded, spec_.image_token_id, prompt.patches.grid_thw, merge);
  prompt.stream_hash = stream_hash(prompt.token_ids, prompt.patches);
  prompt.validate();
  return prompt;
}

EncodedPrompt PromptEncoder::encode_chunks(
    const std::vector<PromptChunk>& chunks,
    const std::shared_ptr<const PromptRecord>& record) const {
  SGRPO_CHECK(record != nullptr, "encode_chunks: no record");
  ImageCost cost;
  try {
    std::vector<int64_t> ids;
    std::vector<const ImageSource*> sources;
    for (const PromptChunk& chunk : chunks) {
      check_chunk(chunk, spec_);
      check_no_placeholder(chunk.token_ids, "a chunk of token ids");
      ids.insert(ids.end(), chunk.token_ids.begin(), chunk.token_ids.end());
      if (!chunk.image) continue;
      ids.push_back(spec_.image_token_id);
      sources.push_back(&*chunk.image);
    }
    if (ids.empty()) throw UserError("the chunks hold neither a token nor an image");
    const auto text_tokens = static_cast<int64_t>(ids.size() - sources.size());
    EncodedPrompt prompt = assemble(ids, load_images(sources, text_tokens, *record, cost));
    prompt.record = record;
    return prompt;
  } catch (const RecordError&) {
    throw;
  } catch (const UserError& error) {
    throw RecordError(record->source, record->id, error.what());
  }
}

/// Sizes come from the headers: once the prompt is too long, the rest is counted but not decoded.
std::vector<PixelPatches> PromptEncoder::load_images(const std::vector<const ImageSource*>& sources,
                                                     int64_t text_tokens,
                                                     const PromptRecord& record,
                                                     ImageCost& cost) const {
  const double start = thread_seconds();
  const int64_t limit = std::min(spec_.max_prompt_tokens, spec_.max_positions);
  std::vector<PixelPatches> images;
  int64_t tokens = text_tokens;
  for (const ImageSource* source : sources) {
    const image::ImageFile file(*source);
    const image::ProcessorConfig config = image::with_limits(*spec_.processor, source->limits);
    tokens += file.num_tokens(config);
    if (tokens <= limit) images.push_back(file.patches(config));
  }
  cost.add({.images = static_cast<int64_t>(images.size()),
            .cpu_seconds = sources.empty() ? 0.0 : thread_seconds() - start});
  if (tokens <= limit) return images;
  throw LongPromptError(
      record.source, record.id, "the prompt has " + long_prompt_reason(tokens, spec_));
}

std::vector<int64_t> PromptEncoder::ground_truth_ids(const PromptRecord& record) const {
  std::vector<int64_t> ids;
  if (const auto& text = record.injected_text(); text) {
    ids = completion_ids(*text);
    check_ground_truth(ids);
  }
  if (spec_.requires_completion) check_completion(record);
  return ids;
}

void PromptEncoder::check_ground_truth(const std::vector<int64_t>& ids) const {
  const int64_t limit = spec_.max_ground_truth_tokens;
  if (limit > 0 && static_cast<int64_t>(ids.size()) > limit) {
    throw UserError(str("the ground truth has ",
                        ids.size(),
                        " tokens, at most ",
                        limit,
                        " are allowed (rollout.max_new_tokens); raise the limit or shorten it"));
  }
  check_no_placeholder(ids, "the ground truth");
}

void PromptEncoder::check_completion(const PromptRecord& record) const {
  if (!record.completion && !record.injected_text())
    throw UserError("no completion, ground_truth_completion or ground_truth to learn from");
  if (record.completion) check_no_placeholder(completion_ids(*record.completion), "the completion");
}

void PromptEncoder::check_no_placeholder(const std::vector<int64_t>& ids,
                                         const std::string& what) const {
  for (const int64_t id : {spec_.image_token_id, spec_.video_token_id}) {
    if (id >= 0 && std::find(ids.begin(), ids.end(), id) != ids.end())
      throw UserError(str(what, " contains an image or video placeholder token; remove it"));
  }
}

std::vector<int64_t> PromptEncoder::completion_ids(const std::string& text) const {
  std::vector<int64_t> ids = spec_.tokenizer->encode(text);
  if (spec_.turn_end_id >= 0) ids.push_back(spec_.turn_end_id);
  return ids;
}

/// Whether the last id is an end token, which has no text.
bool PromptEncoder::is_ended(const std::vector<int64_t>& ids) const {
  const auto& ends = spec_.end_ids;
  return !ids.empty() && (ids.back() == spec_.turn_end_id ||
                          std::find(ends.begin(), ends.end(), ids.back()) != ends.end());
}

std::string PromptEncoder::completion_text(const std::vector<int64_t>& ids) const {
  if (!is_ended(ids)) return spec_.tokenizer->decode(ids);
  return spec_.tokenizer->decode({ids.begin(), ids.end() - 1});
}

std::vector<int64_t> PromptEncoder::completion_ends(const std::vector<int64_t>& ids) const {
  if (!is_ended(ids)) return spec_.tokenizer->token_ends(ids);
  std::vector<int64_t> ends = spec_.tokenizer->token_ends({ids.begin(), ids.end() - 1});
  ends.push_back(ends.empty() ? 0 : ends.back());
  return ends;
}

std::string long_prompt_reason(int64_t tokens, const EncoderSpec& spec) {
  if (tokens <= std::min(spec.max_prompt_tokens, spec.max_positions)) return "";
  const bool is_models = spec.max_positions < spec.max_prompt_tokens;
  return str(tokens,
             " tokens, at most ",
             is_models ? spec.max_positions : spec.max_prompt_tokens,
             is_models ? " are allowed (the model's max_position_embeddings); shorten the text or "
                       : " are allowed (data.max_prompt_tokens); raise the limit, shorten the text "
                         "or ",
             "lower data.max_pixels");
}

at::Tensor mrope_positions(const std::vector<int64_t>& token_ids,
                           int64_t image_token_id,
                           const at::Tensor& grid_thw,
                           int64_t merge_size) {
  const auto length = static_cast<int64_t>(token_ids.size());
  at::Tensor positions = at::empty({3, length}, at::kLong);
  auto* temporal = positions.mutable_data_ptr<int64_t>();
  auto *row = temporal + length, *column = row + length;
  const auto* grid = grid_thw.const_data_ptr<int64_t>();
  const auto* grids_end = grid + grid_thw.numel();
  int64_t next = 0;
  for (int64_t at = 0; at < length;) {
    if (image_token_id < 0 || token_ids[static_cast<size_t>(at)] != image_token_id) {
      temporal[at] = row[at] = column[at] = next++;
      ++at;
      continue;
    }
    TORCH_CHECK_VALUE(grid != grids_end, "token_ids has more images than grid_thw has rows");
    const int64_t height = grid[1] / merge_size, width = grid[2] / merge_size;
    const int64_t tokens = grid[0] * height * width;
    TORCH_CHECK_VALUE(at + tokens <= length, "token_ids ends inside an image of ", tokens);
    for (int64_t i = 0; i < tokens; ++i, ++at) {
      temporal[at] = next + i / (height * width);
      row[at] = next + i / width % height;
      column[at] = next + i % width;
    }
    next += std::max(height, width);
    grid += 3;
  }
  TORCH_CHECK_VALUE(grid == grids_end, "grid_thw has more rows than token_ids has images");
  return positions;
}

std::string stream_hash(const at::Tensor& token_ids, const PixelPatches& patches) {
  core::Sha256 sha;
  hash_values(token_ids, sha);
  hash_pictures(patches, sha);
  return sha.hex();
}

std::string pixel_hash(const PixelPatches& patches) {
  constexpr size_t kDigits = 16;
  if (patches.grid_thw.numel() == 0) return "";
  core::Sha256 sha;
  hash_pictures(patches, sha);
  return sha.hex().substr(0, kDigits);
}

}  // namespace sgrpo::data
