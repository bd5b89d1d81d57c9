#include "sentence_piece.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <string>
#include <unordered_map>

#include "added_tokens.h"
#include "byte_level.h"
#include "character_map.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"

namespace sgrpo::tokenizer {
namespace {

// The library parses the model without limits of its own.
constexpr uint64_t kMaxModelBytes = uint64_t{64} << 20;

// add_bos_token and add_eos_token are not read: what begins and ends a prompt is written by its
// template, and neither belongs before a completion (TRL and verl: add_special_tokens=False).
class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::string& model,
                         const core::Json& config,
                         const std::filesystem::path& folder,
                         const ConvertedModel* converted) {
    const std::string where = (folder / "tokenizer.model").string();
    check_character_maps(model, where);
    load(model, where);
    const std::string config_where = (folder / "tokenizer_config.json").string();
    std::vector<AddedToken> added = parse_added_tokens_decoder(config, config_where);
    if (converted != nullptr) {
      check_same_model(*converted);
      join(added, converted->added);
    }
    add_tokens(added, config_where);
  }

  std::vector<int64_t> encode(std::string_view text) const override {
    const std::string valid = core::to_valid_utf8(text);
    std::vector<int64_t> ids;
    for (const Segment& segment : matcher_.split(valid)) {
      if (segment.id >= 0) {
        ids.push_back(segment.id);
        continue;
      }
      const std::vector<int> pieces = processor_.EncodeAsIds(segment.text);
      ids.insert(ids.end(), pieces.begin(), pieces.end());
    }
    return ids;
  }

  std::string decode(const std::vector<int64_t>& ids, bool skip_special) const override {
    std::string text;
    std::vector<int> run;  // the library strips the space that it put before a run of pieces
    const auto flush = [&] {
      if (!run.empty()) text += processor_.DecodeIds(run);
      run.clear();
    };
    for (const int64_t id : ids) {
      if (id < 0 || id >= size() || (skip_special && is_special(id))) continue;
      const auto verbatim = verbatim_.find(id);
      if (verbatim == verbatim_.end()) {
        run.push_back(static_cast<int>(id));
        continue;
      }
      flush();
      text += verbatim->second.content;
    }
    flush();
    return text;
  }

  int64_t size() const override { return size_; }

  std::optional<int64_t> token_id(std::string_view token) const override {
    for (const auto& [id, added] : verbatim_) {
      if (added.content == token) return id;
    }
    const int id = processor_.PieceToId(token);  // the unknown piece's id for what it lacks
    if (id < 0 || processor_.IdToPiece(id) != token) return std::nullopt;
    return id;
  }

  bool is_special(int64_t id) const override {
    const auto found = verbatim_.find(id);
    return found != verbatim_.end() && found->second.special;
  }

 private:
  void load(const std::string& model, const std::string& where) {
    std::string fault;
    try {
      const auto status = processor_.LoadFromSerializedProto(model);
      if (status.ok()) return;
      fault = status.ToString();
    } catch (const std::exception& error) {  // its tries throw: an empty piece, for one
      fault = error.what();
    }
    throw core::UserError(
        core::str(where, ": not a SentencePiece model: ", core::printable(fault, 200)));
  }

  void check_same_model(const ConvertedModel& converted) const {
    const auto pieces =
        std::min(static_cast<size_t>(processor_.GetPieceSize()), converted.pieces.size());
    for (size_t id = 0; id < pieces; ++id) {
      const std::string& piece = processor_.IdToPiece(static_cast<int>(id));
      if (piece == converted.pieces[id]) continue;
      throw core::UserError(core::str(converted.where,
                                      ": model.vocab has '",
                                      core::printable(converted.pieces[id]),
                                      "' as token ",
                                      id,
                                      ", but tokenizer.model beside it has '",
                                      core::printable(piece),
                                      "'; remove the file that is not this model's"));
    }
  }

  // The tokens that only the conversion names, in the order of ids.
  static void join(std::vector<AddedToken>& added, const std::vector<AddedToken>& more) {
    for (const AddedToken& token : more) {
      const auto same = [&](const AddedToken& known) { return known.id == token.id; };
      if (std::none_of(added.begin(), added.end(), same)) added.push_back(token);
    }
    std::sort(added.begin(), added.end(), [](const AddedToken& a, const AddedToken& b) {
      return a.id < b.id;
    });
  }

  void add_tokens(const std::vector<AddedToken>& tokens, const std::string& where) {
    const int64_t pieces = processor_.GetPieceSize();
    size_ = pieces;
    for (const AddedToken& token : tokens) {
      const bool fits = token.id < pieces
                            ? processor_.IdToPiece(static_cast<int>(token.id)) == token.content
                            : token.id == size_;
      if (!fits) {
        throw core::UserError(core::str(where,
                                        ": added token '",
                                        core::printable(token.content),
                                        "' has id ",
                                        token.id,
                                        ", expected the id of this piece in tokenizer.model or ",
                                        size_));
      }
      size_ = std::max(size_, token.id + 1);
      verbatim_.emplace(token.id, token);
    }
    matcher_ = AddedTokenMatcher(tokens);
    for (int id = 0; id < pieces; ++id) {
      if (processor_.IsControl(id)) {
        AddedToken control;
        control.content = processor_.IdToPiece(id);
        control.special = true;
        verbatim_.emplace(id, control);
      }
    }
  }

  sentencepiece::SentencePieceProcessor processor_;
  AddedTokenMatcher matcher_;
  std::unordered_map<int64_t, AddedToken> verbatim_;  // added tokens and control pieces
  int64_t size_ = 0;
};

}  // namespace

std::shared_ptr<const Tokenizer> load_sentence_piece(const std::filesystem::path& folder,
                                                     const ConvertedModel* converted) {
  const std::string model = core::read_file(folder / "tokenizer.model", kMaxModelBytes);
  return std::make_shared<SentencePieceTokenizer>(
      model, read_tokenizer_config(folder), folder, converted);
}

}  // namespace sgrpo::tokenizer
