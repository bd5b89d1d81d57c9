// sgrpo tokenize: texts or prompts on stdin -> token ids on stdout.
#include <iostream>
#include <memory>

#include "cli/model_files.h"
#include "cli/rows.h"
#include "sgrpo/cli/command.h"
#include "sgrpo/data/encoder.h"
#include "sgrpo/data/rows.h"
#include "sgrpo/tokenizer/tokenizer.h"

namespace sgrpo::cli {
namespace {

using core::Json;

struct Tokenize {
  static constexpr const char* kSummary = "token ids of texts and prompts (JSON lines on stdin)";
  static constexpr bool kTakesConfig = false;

  std::string model;
  std::optional<std::string> image_dir;

  template <class V>
  void visit_fields(V& visit) {
    using config::FieldInfo;
    visit("model",
          model,
          FieldInfo{.help = "checkpoint folder; for texts its tokenizer files are enough",
                    .unit = "DIR",
                    .required = true,
                    .is_path = true});
    visit("image_dir",
          image_dir,
          FieldInfo{.help = "folder of relative image paths; null = the working directory",
                    .unit = "DIR",
                    .is_path = true});
  }

  static std::string details() {
    return "stdin:  {\"text\": s}, or {\"prompt\": ..., \"images\": [...]}; one object a line\n"
           "stdout: {\"ids\": [...], \"text\": decoded}, or {\"error\": reason} for a bad row\n"
           "A prompt gets its generation prompt and expanded image placeholders.\n";
  }

  int run(const Invocation&) {
    folder_ = small_files_folder(model);
    tokenizer_ = tokenizer::load_tokenizer(folder_);
    RowWriter writer(std::cout);
    for_each_row(std::cin, "stdin", writer, [&](const Json& row, int64_t line) {
      const std::vector<int64_t> ids = encode(row, line);
      writer.write({{"ids", ids}, {"text", tokenizer_->decode(ids)}});
    });
    writer.finish();
    return 0;
  }

 private:
  std::vector<int64_t> encode(const Json& row, int64_t line) {
    const RowSource source{.file = "stdin", .line = line};
    if (core::find(row, "text") != nullptr) {
      for (const char* name : {"prompt", "messages", "problem", "conversations"}) {
        if (core::find(row, name) != nullptr)
          throw core::UserError(
              core::str(source.str(), ": both 'text' and '", name, "'; expected one of them"));
      }
      return tokenizer_->encode(core::get_string(row, "text", source.str()));
    }
    data::RowOptions options;
    options.image_dir = image_dir.value_or(".");
    const auto record = std::make_shared<const PromptRecord>(parse_row(row, source, options));
    const at::Tensor ids = encoder().encode(record).token_ids;
    return {ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + ids.numel()};
  }

  /// Made at the first prompt: texts need no more than the tokenizer.
  const data::PromptEncoder& encoder() {
    if (encoder_) return *encoder_;
    try {
      encoder_ = std::make_unique<data::PromptEncoder>(load_encoder_spec(folder_, tokenizer_));
    } catch (const core::UserError& error) {
      throw NotTheRowError(error.what());
    }
    return *encoder_;
  }

  std::filesystem::path folder_;
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer_;
  std::unique_ptr<data::PromptEncoder> encoder_;
};

SGRPO_REGISTER_COMMAND("tokenize", Tokenize);

}  // namespace
}  // namespace sgrpo::cli
