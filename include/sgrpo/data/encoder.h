// PromptRecord -> EncodedPrompt: one pass over text and images for sampling and training alike.
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sgrpo/data/rows.h"
#include "sgrpo/image/processor.h"
#include "sgrpo/tokenizer/chat_template.h"
#include "sgrpo/tokenizer/tokenizer.h"
#include "sgrpo/types/encoded_prompt.h"

namespace sgrpo::data {

/// Why only `sft` takes a row whose prompt ends with an assistant turn.
inline constexpr const char* kLastTurnReason =
    "the prompt ends with an assistant turn, which only `sft` learns (as the completion); remove "
    "the turn, or give its text as 'ground_truth'";

/// What the encoder must know of a checkpoint.
struct EncoderSpec {
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer;
  std::optional<tokenizer::ChatTemplate> chat;
  std::optional<image::ProcessorConfig> processor;  // nothing for a text model
  int64_t image_token_id = -1;                      // -1: the model takes no images
  int64_t video_token_id = -1;
  int64_t turn_end_id = -1;           // <|im_end|>
  std::vector<int64_t> end_ids = {};  // further ids that end a completion (generation_config.json)
  int64_t max_prompt_tokens = 4096;
  int64_t max_positions = std::numeric_limits<int64_t>::max();  // of the model
  int64_t max_ground_truth_tokens = 0;  // longer ground truth: bad row; 0 = no limit
  bool requires_completion = false;     // SFT: a row with nothing to learn from is bad
  bool takes_last_turn = false;  // SFT: a prompt may end with the answer, its completion; else bad
  // What else makes a row unusable for its run: throws core::UserError; empty = nothing.
  std::function<void(const PromptRecord&)> check_record = {};
};

/// A piece of a prompt that stands as it is, without a template: token ids, or an image, which
/// stands for its placeholder tokens.
struct PromptChunk {
  std::vector<int64_t> token_ids = {};
  std::optional<ImageSource> image = {};
  std::optional<int64_t> expected_tokens = {};  // of the image; any other number is an error
};

/// What reading images cost: read, decode, resize and patch, on the thread that did it.
struct ImageCost {
  int64_t images = 0;
  double cpu_seconds = 0.0;

  void add(const ImageCost& other) {
    images += other.images;
    cpu_seconds += other.cpu_seconds;
  }
};

/// A row whose prompt has more tokens than allowed: left out or fatal, as data.on_long_prompt says.
class LongPromptError : public RecordError {
 public:
  using RecordError::RecordError;
};

/// Builds model inputs from rows; safe to call from several threads.
class PromptEncoder {
 public:
  explicit PromptEncoder(EncoderSpec spec);

  /// Chat template with generation prompt, tokens, images, expanded placeholders, positions,
  /// ground-truth ids, stream hash. Throws RecordError: image unreadable, placeholder token inside
  /// a text part, ground truth too long, image in a text-only model; LongPromptError with both
  /// numbers, before more pixels than the limit allows are decoded. Never cuts a prompt. Starts no
  /// threads. `cost` is added to.
  EncodedPrompt encode(const std::shared_ptr<const PromptRecord>& record, ImageCost& cost) const;
  EncodedPrompt encode(const std::shared_ptr<const PromptRecord>& record) const;

  /// The same without a template: the chunks in their order, on behalf of `record` (its ground
  /// truth is not encoded). Throws RecordError, too: ids outside the vocabulary or placeholders
  /// among them, an image of another number of tokens than expected.
  EncodedPrompt encode_chunks(const std::vector<PromptChunk>& chunks,
                              const std::shared_ptr<const PromptRecord>& record) const;

  /// Throws core::UserError for a row that this encoder's task does not take, and for one that the
  /// template cannot render; else the prompt's ids, one placeholder an image.
  std::vector<int64_t> render(const PromptRecord& record) const;

  /// Ids of a completion given as text, `<|im_end|>` appended.
  std::vector<int64_t> completion_ids(const std::string& text) const;
  /// Text of completion ids without a trailing end token.
  std::string completion_text(const std::vector<int64_t>& ids) const;
  /// Bytes of that text up to the end of each of the ids.
  std::vector<int64_t> completion_ends(const std::vector<int64_t>& ids) const;
  const EncoderSpec& spec() const { return spec_; }

 private:
  bool is_ended(const std::vector<int64_t>& ids) const;
  EncodedPrompt encode_unchecked(const std::shared_ptr<const PromptRecord>& record,
                                 ImageCost& cost) const;
  EncodedPrompt assemble(const std::vector<int64_t>& ids,
                         const std::vector<PixelPatches>& images) const;
  std::vector<int64_t> ground_truth_ids(const PromptRecord& record) const;
  std::vector<PixelPatches> load_images(const std::vector<const ImageSource*>& images,
                                        int64_t text_tokens,
                                        const PromptRecord& record,
                                        ImageCost& cost) const;
  void check_ground_truth(const std::vector<int64_t>& ids) const;
  void check_completion(const PromptRecord& record) const;
  void check_no_placeholder(const std::vector<int64_t>& ids, const std::string& what) const;
  EncoderSpec spec_;
};

/// "12 tokens, at most 8 are allowed (...)": what makes a prompt of so many tokens too long, by the
/// limit that it meets first; empty if nothing does.
std::string long_prompt_reason(int64_t tokens, const EncoderSpec& spec);

/// M-RoPE positions [3, S]: text advances all rows; an image of h x w merged patches keeps its
/// start in the temporal row and adds row and column to the others; the next text starts at start +
/// max(h, w).
at::Tensor mrope_positions(const std::vector<int64_t>& token_ids,
                           int64_t image_token_id,
                           const at::Tensor& grid_thw,
                           int64_t merge_size);

/// Identity of what the model is fed: SHA-256 over token ids, grids and one 64-bit fingerprint per
/// patch.
std::string stream_hash(const at::Tensor& token_ids, const PixelPatches& patches);

/// Of the pictures alone, 16 hexadecimal digits; empty without any.
std::string pixel_hash(const PixelPatches& patches);

}  // namespace sgrpo::data
