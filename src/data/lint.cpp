#include "sgrpo/data/lint.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "data/parallel.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/sha256.h"
#include "sgrpo/core/text.h"

namespace sgrpo::data {
namespace {

using core::str;
using core::UserError;

/// The checks of one row; problems collect in `row`.
class RowLinter {
 public:
  RowLinter(const LintOptions& options, ImageCatalog& catalog, LintedRow& row)
      : options_(options), catalog_(catalog), row_(row), record_(*row.record) {}

  void run() {
    check_images();
    check_has_completion();
    check_last_turn();
    if (options_.encoder == nullptr) return;
    check_prompt();
    check_ground_truth();
    check_completion();
  }

 private:
  void add(const char* check, const std::string& reason) {
    row_.problems.push_back({check, reason});
  }

  const EncoderSpec& spec() const { return options_.encoder->spec(); }
  bool takes_images() const { return spec().image_token_id >= 0; }

  /// Every image is looked at, so that one run names all that are missing.
  void check_images() {
    if (options_.images == ImageCheck::kNone) {
      knows_images_ = record_.images.empty();
      return;
    }
    for (const ImageSource& image : record_.images) {
      try {
        const image::ImageSize size = catalog_.check(image);
        if (options_.encoder != nullptr && takes_images()) count_image(image, size);
      } catch (const UserError& error) {
        add("image", error.what());
        knows_images_ = false;
      }
    }
  }

  void count_image(const ImageSource& image, const image::ImageSize& size) {
    try {
      tokens_of_images_ +=
          image::num_tokens_of(size, image::with_limits(*spec().processor, image.limits));
    } catch (const UserError& error) {
      throw UserError(str(image.name(), ": ", error.what()));
    }
  }

  void check_prompt() {
    try {
      count_prompt();
    } catch (const UserError& error) {
      add("prompt", error.what());
    }
  }

  void count_prompt() {
    const auto ids = options_.encoder->render(record_);
    if (!knows_images_) return;
    const auto placeholders = static_cast<int64_t>(record_.images.size());
    row_.prompt_tokens = static_cast<int64_t>(ids.size()) - placeholders + tokens_of_images_;
    const std::string reason = long_prompt_reason(row_.prompt_tokens, spec());
    if (!reason.empty())
      add("long_prompt",
          str("the prompt has ", reason, " (", tokens_of_images_, " tokens are of images)"));
  }

  void check_has_completion() {
    if (options_.requires_completion && !record_.completion && !record_.injected_text())
      add("completion", "no completion, ground_truth_completion or ground_truth to learn from");
    if (options_.requires_ground_truth && !record_.injected_text())
      add("completion", "no ground_truth or ground_truth_completion to learn from");
  }

  /// With an encoder its own check says so.
  void check_last_turn() {
    if (options_.encoder == nullptr && record_.completion_was_last_turn &&
        !options_.takes_last_turn)
      add("prompt", kLastTurnReason);
  }

  void check_completion() {
    if (!record_.completion) return;
    if (holds_placeholder(options_.encoder->completion_ids(*record_.completion)))
      add("completion", "the completion contains an image or video placeholder token; remove it");
  }

  bool holds_placeholder(const std::vector<int64_t>& ids) const {
    return count(ids, spec().image_token_id) + count(ids, spec().video_token_id) != 0;
  }

  void check_ground_truth() {
    const auto& text = record_.injected_text();
    if (!text) return;
    const auto ids = options_.encoder->completion_ids(*text);
    row_.ground_truth_tokens = static_cast<int64_t>(ids.size());
    if (holds_placeholder(ids)) {
      add("ground_truth",
          "the ground truth contains an image or video placeholder token; remove it");
    }
    const int64_t limit = spec().max_ground_truth_tokens;
    if (limit > 0 && row_.ground_truth_tokens > limit) {
      add("long_ground_truth",
          str("the ground truth has ",
              row_.ground_truth_tokens,
              " tokens, at most ",
              limit,
              " are allowed (rollout.max_new_tokens)"));
    }
  }

  static size_t count(const std::vector<int64_t>& ids, int64_t id) {
    return id < 0 ? 0 : static_cast<size_t>(std::count(ids.begin(), ids.end(), id));
  }

  const LintOptions& options_;
  ImageCatalog& catalog_;
  LintedRow& row_;
  const PromptRecord& record_;
  bool knows_images_ = true;
  int64_t tokens_of_images_ = 0;
};

LintedRow start_row(RowResult result) {
  LintedRow row;
  if (const auto* error = std::get_if<RecordError>(&result)) {
    row.source = error->source();
    row.id = error->id();
    row.problems.push_back({"row", error->reason()});
    return row;
  }
  auto& record = std::get<PromptRecord>(result);
  row.source = record.source;
  row.id = record.id;
  row.record = std::make_shared<const PromptRecord>(std::move(record));
  return row;
}

void check_ids(std::vector<LintedRow>& rows) {
  std::unordered_map<std::string, int64_t> line_of;
  for (LintedRow& row : rows) {
    if (row.record == nullptr) continue;
    const auto [first, is_new] = line_of.emplace(row.id, row.source.line);
    if (!is_new) {
      row.problems.push_back(
          {"duplicate_id", str("line ", first->second, " has this id too; ids must be unique")});
    }
  }
}

/// Everything the model sees of a row's prompt, as one text.
std::string prompt_key(const PromptRecord& record) {
  std::string key;
  for (const Message& message : record.messages) {
    key += '\1' + message.role;
    for (const ContentPart& part : message.content)
      key += part.kind == ContentPart::Kind::kImage ? "\2" : "\3" + part.text;
  }
  for (const ImageSource& image : record.images) {
    key += '\4' + (image.bytes ? core::sha256_hex(*image.bytes) : image.path.string());
    const ImageLimits& limits = image.limits;
    for (const auto& limit :
         {limits.min_pixels, limits.max_pixels, limits.resized_height, limits.resized_width})
      key += str('\5', limit.value_or(0));
  }
  return key;
}

void find_same_prompts(std::vector<LintedRow>& rows) {
  std::unordered_map<std::string, const LintedRow*> first_of;
  for (LintedRow& row : rows) {
    if (row.record == nullptr) continue;
    const auto [first, is_new] = first_of.emplace(prompt_key(*row.record), &row);
    if (is_new) continue;
    row.same_prompt_line = first->second->source.line;
    row.contradicts = first->second->record->injected_text() != row.record->injected_text();
  }
}

}  // namespace

std::string LintedRow::message() const {
  std::vector<std::string> reasons;
  for (const Problem& problem : problems) reasons.push_back(problem.reason);
  return RecordError(source, id, core::join(reasons, "; ")).what();
}

std::vector<LintedRow> lint_file(const std::filesystem::path& path, const LintOptions& options) {
  std::vector<LintedRow> rows;
  for (RowResult& result : read_rows(path, options.rows))
    rows.push_back(start_row(std::move(result)));
  check_ids(rows);
  find_same_prompts(rows);
  const auto catalog = options.catalog
                           ? options.catalog
                           : std::make_shared<ImageCatalog>(options.images, std::nullopt);
  run_parallel(rows.size(), all_threads(), 1, [&](size_t i) {
    if (core::stop_requested()) throw core::Interrupted("stopped by a signal while checking");
    if (rows[i].record != nullptr) RowLinter(options, *catalog, rows[i]).run();
  });
  return rows;
}

TokenSummary summarise_tokens(std::vector<int64_t> tokens) {
  std::erase_if(tokens, [](int64_t count) { return count < 0; });
  std::sort(tokens.begin(), tokens.end());
  TokenSummary summary;
  if (tokens.empty()) return summary;
  const auto count = static_cast<double>(tokens.size());
  const auto rank = [&](double share) {
    return tokens[static_cast<size_t>(std::ceil(share * count)) - 1];
  };
  summary.count = static_cast<int64_t>(tokens.size());
  for (const int64_t value : tokens) summary.mean += static_cast<double>(value) / count;
  summary.p50 = rank(0.5);
  summary.p90 = rank(0.9);
  summary.p99 = rank(0.99);
  summary.max = tokens.back();
  return summary;
}

}  // namespace sgrpo::data
