#include "converted_model.h"

#include <algorithm>

#include "sgrpo/core/error.h"
#include "vocabulary_file.h"

namespace sgrpo::tokenizer {
namespace {

constexpr const char* kSpace = "\u2581";

// Whether a normalizer, pre-tokenizer or decoder, or a part of a Sequence of them, satisfies `is`.
template <typename Predicate>
bool any_part(const SortedJson& part, const Predicate& is) {
  if (!part.is_object()) return false;
  for (const char* list : {"normalizers", "pretokenizers"}) {
    const auto parts = part.find(list);
    if (parts == part.end() || !parts->is_array()) continue;
    return std::any_of(
        parts->begin(), parts->end(), [&](const SortedJson& inner) { return any_part(inner, is); });
  }
  return is(part);
}

bool puts_space_before_text(const SortedJson& file) {
  const auto prepends = [](const SortedJson& part) {
    return part.value("type", "") == "Prepend" && part.value("prepend", "") == kSpace;
  };
  // Before prepend_scheme there was add_prefix_space, which meant "always".
  const auto is_metaspace = [](const SortedJson& part) {
    return part.value("type", "") == "Metaspace" && part.value("replacement", kSpace) == kSpace &&
           part.value("prepend_scheme",
                      part.value("add_prefix_space", true) ? "always" : "never") == "always";
  };
  return any_part(file.value("normalizer", SortedJson()), prepends) ||
         any_part(file.value("pre_tokenizer", SortedJson()), is_metaspace);
}

bool is_sentence_piece(const SortedJson& model) {
  const std::string type = model.value("type", "BPE");
  return type == "Unigram" || (type == "BPE" && model.value("byte_fallback", false));
}

// BPE: {token: id}; Unigram: [[token, score], ..].
std::vector<std::string> pieces_of(const SortedJson& vocabulary, const std::string& where) {
  std::vector<std::string> pieces;
  if (vocabulary.is_array()) {
    for (const SortedJson& entry : vocabulary) {
      if (!entry.is_array() || entry.empty() || !entry[0].is_string()) {
        throw core::UserError(
            core::str(where, "[", pieces.size(), "] is not a pair [token, score]"));
      }
      pieces.push_back(entry[0].get<std::string>());
    }
    return pieces;
  }
  auto tokens = read_vocabulary(vocabulary, where);
  std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) {
    return a.second < b.second;
  });
  for (auto& [token, id] : tokens) {
    if (id != static_cast<int64_t>(pieces.size())) {
      throw core::UserError(
          core::str(where, ": no token has id ", pieces.size(), ", expected ids without gaps"));
    }
    pieces.push_back(std::move(token));
  }
  return pieces;
}

}  // namespace

std::optional<ConvertedModel> read_converted_model(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "tokenizer.json";
  const SortedJson file = parse_sorted_json(path);
  if (!file.is_object() || !file.contains("model") || !file["model"].is_object()) {
    throw core::UserError(core::str(path.string(), ": key 'model' is missing, expected an object"));
  }
  const SortedJson& model = file["model"];
  if (!is_sentence_piece(model) || !puts_space_before_text(file)) return std::nullopt;
  ConvertedModel converted;
  converted.where = path.string();
  converted.pieces =
      pieces_of(model.value("vocab", SortedJson()), converted.where + ": model.vocab");
  converted.added =
      parse_added_tokens(core::Json(file.value("added_tokens", SortedJson())), converted.where);
  return converted;
}

}  // namespace sgrpo::tokenizer
