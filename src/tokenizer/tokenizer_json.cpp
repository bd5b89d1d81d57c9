// tokenizer.json of Hugging Face's `tokenizers`: only byte-level BPE, everything else by name.
#include <set>

#include "byte_level.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"
#include "vocabulary_file.h"

namespace sgrpo::tokenizer {
namespace {

using core::Json;

constexpr uint64_t kMaxConfigBytes = uint64_t{16} << 20;

[[noreturn]] void refuse(const std::string& where, const Json& got, std::string_view expected) {
  throw core::UserError(core::str(
      where, " is ", core::printable(core::dump_ascii(got), 120), ", expected ", expected));
}

std::string type_of(const Json& part, const std::string& where) {
  return core::get_string(part, "type", where);
}

// The parts of a Sequence, or the part itself; none for null.
std::vector<std::pair<Json, std::string>> parts_of(const Json& file,
                                                   const std::string& key,
                                                   const std::string& list_key,
                                                   const std::string& path) {
  const Json* part = core::find(file, key);
  if (part == nullptr) return {};
  const std::string where = core::str(path, ": ", key);
  if (type_of(*part, where) != "Sequence") return {{*part, where}};
  const Json* list = core::find(*part, list_key);
  if (list == nullptr || !list->is_array()) refuse(where, *part, core::str("a list ", list_key));
  std::vector<std::pair<Json, std::string>> parts;
  for (size_t i = 0; i < list->size(); ++i) {
    parts.emplace_back((*list)[i], core::str(where, ".", list_key, "[", i, "]"));
  }
  return parts;
}

void read_normalizer(const Json& file, const std::string& path, ByteLevelSpec& spec) {
  for (const auto& [part, where] : parts_of(file, "normalizer", "normalizers", path)) {
    if (type_of(part, where) != "NFC") refuse(where, part, "NFC or null");
    spec.nfc = true;  // a second NFC changes nothing
  }
}

SplitPattern read_split(const Json& part, const std::string& where) {
  const Json* regex = core::find(core::get_object(part, "pattern", where), "Regex");
  if (regex == nullptr || !regex->is_string()) {
    refuse(where + ".pattern", part["pattern"], R"({"Regex": ".."})");
  }
  if (core::get_string(part, "behavior", where) != "Isolated") {
    refuse(where + ".behavior", part["behavior"], "\"Isolated\"");
  }
  if (core::get_bool_or(part, "invert", false, where)) {
    refuse(where + ".invert", part["invert"], "false");
  }
  return SplitPattern(regex->get<std::string>(), where + ".pattern.Regex");
}

// Runs of numbers, or every number by itself. Digits asks Rust's own tables (Unicode 17), which
// hold two ranges more than an expression's \p{N} (Unicode 16).
SplitPattern read_digits(const Json& part, const std::string& where) {
  const std::string number = "[\\p{N}\U00011DE0-\U00011DE9\U00016FF4-\U00016FF6]";
  const bool each = core::get_bool_or(part, "individual_digits", false, where);
  return SplitPattern(each ? number : number + "+", where);
}

void read_pre_tokenizer(const Json& file, const std::string& path, ByteLevelSpec& spec) {
  constexpr std::string_view kExpected =
      "ByteLevel, or a Sequence of Digits and Splits by expressions that ends with ByteLevel";
  const auto parts = parts_of(file, "pre_tokenizer", "pretokenizers", path);
  if (parts.empty()) refuse(path + ": pre_tokenizer", nullptr, kExpected);
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto& [part, where] = parts[i];
    const std::string type = type_of(part, where);
    if (i + 1 < parts.size()) {
      if (type != "Digits" && type != "Split") refuse(where, part, kExpected);
      spec.splits.push_back(type == "Digits" ? read_digits(part, where) : read_split(part, where));
      continue;
    }
    if (type != "ByteLevel") refuse(where, part, kExpected);
    spec.add_prefix_space = core::get_bool_or(part, "add_prefix_space", true, where);
    if (core::get_bool_or(part, "use_regex", true, where)) {
      spec.byte_level_split.emplace_back(kGpt2Pattern, where);
    }
  }
}

void check_decoder(const Json& file, const std::string& path) {
  const auto parts = parts_of(file, "decoder", "decoders", path);
  if (parts.size() != 1) refuse(path + ": decoder", file.value("decoder", Json()), "ByteLevel");
  const auto& [part, where] = parts.front();
  if (type_of(part, where) != "ByteLevel") refuse(where, part, "ByteLevel");
}

// ByteLevel only moves offsets; a template may stand there if it adds no token.
void check_post_processor(const Json& file, const std::string& path) {
  for (const auto& [part, where] : parts_of(file, "post_processor", "processors", path)) {
    const std::string type = type_of(part, where);
    if (type == "ByteLevel") continue;
    const Json* tokens = core::find(part, "special_tokens");
    const Json* single = core::find(part, "single");
    const bool adds_nothing = type == "TemplateProcessing" &&
                              (tokens == nullptr || tokens->empty()) && single != nullptr &&
                              single->size() == 1 && single->front().contains("Sequence");
    if (!adds_nothing) refuse(where, part, "ByteLevel, null or a template that adds no token");
  }
}

void check_model(const Json& model, const std::string& where) {
  if (core::get_string_or(model, "type", "BPE", where) != "BPE") {
    refuse(where + ".type", model["type"], "\"BPE\"");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!core::get_string_or(model, key, "", where).empty()) {
      refuse(core::str(where, ".", key), model[key], "null or \"\"");
    }
  }
  if (core::get_double_or(model, "dropout", 0.0, where) != 0.0) {
    refuse(where + ".dropout", model["dropout"], "null");
  }
  if (core::get_bool_or(model, "byte_fallback", false, where)) {
    refuse(where + ".byte_fallback",
           model["byte_fallback"],
           "false, or tokenizer.model beside it and a space put before every stretch of text");
  }
}

// "a b" (old files) or ["a", "b"].
std::vector<std::pair<std::string, std::string>> read_merges(const SortedJson& merges,
                                                             const std::string& where) {
  std::vector<std::pair<std::string, std::string>> result;
  result.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    const SortedJson& merge = merges[i];
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      result.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      continue;
    }
    const std::string text = merge.is_string() ? merge.get<std::string>() : "";
    const size_t space = text.find(' ');
    if (space == text.npos || text.find(' ', space + 1) != text.npos) {
      refuse(core::str(where, "[", i, "]"), Json(merge), "\"a b\" or [\"a\", \"b\"]");
    }
    result.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
  return result;
}

// `tokenizers` gives the unknown token to a character outside the vocabulary. With all 256 bytes
// there is none.
void check_unknown_token(const Json& model, const ByteLevelSpec& spec) {
  if (core::find(model, "unk_token") == nullptr) return;
  std::set<std::string> tokens;
  for (const auto& [token, id] : spec.bpe.vocabulary) tokens.insert(token);
  for (int byte = 0; byte < 256; ++byte) {
    const std::string& symbol = byte_symbol(static_cast<unsigned char>(byte));
    if (tokens.count(symbol) == 0) {
      throw core::UserError(core::str(spec.where,
                                      ": model.unk_token is set and byte ",
                                      byte,
                                      " ('",
                                      symbol,
                                      "') is not in the vocabulary, expected all 256 bytes"));
    }
  }
}

// Keys of tokenizer_config.json that change what transformers' tokenizer.json does.
void check_config(const Json& config, const std::string& where, const ByteLevelSpec& spec) {
  if (core::get_bool_or(config, "split_special_tokens", false, where)) {
    refuse(where + ": split_special_tokens", config["split_special_tokens"], "false");
  }
  if (core::get_bool_or(config, "add_prefix_space", false, where) && !spec.add_prefix_space) {
    refuse(where + ": add_prefix_space", config["add_prefix_space"], "false, as in tokenizer.json");
  }
}

// transformers adds the tokens of tokenizer_config.json that tokenizer.json does not have.
void join_config_tokens(const Json& config, const std::string& where, ByteLevelSpec& spec) {
  std::set<std::string> known;
  for (const AddedToken& token : spec.added) known.insert(token.content);
  for (AddedToken& token : parse_added_tokens_decoder(config, where)) {
    if (known.insert(token.content).second) spec.added.push_back(std::move(token));
  }
}

// A small file of the folder; an empty object if it is not there.
Json read_object(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return Json::object();
  Json object = core::parse_json(core::read_file(path, kMaxConfigBytes), path.string());
  if (!object.is_object()) refuse(path.string(), object, "an object");
  return object;
}

// The strings of a special token's value: a string, an object with its content, or a list of them.
void collect_contents(const Json& value, std::set<std::string>& contents) {
  if (value.is_string()) contents.insert(value.get<std::string>());
  if (value.is_object() && value.contains("content")) collect_contents(value["content"], contents);
  if (value.is_array()) {
    for (const Json& entry : value) collect_contents(entry, contents);
  }
}

// added_tokens.json as an `added_tokens_decoder`: what folders had before transformers 4.34. A
// token is special if a key such as eos_token or additional_special_tokens names it.
Json old_added_tokens(const std::filesystem::path& folder, const Json& config) {
  std::set<std::string> special;
  for (const Json& source : {config, read_object(folder / "special_tokens_map.json")}) {
    for (const auto& [key, value] : source.items()) {
      if (key.ends_with("_token") || key == "additional_special_tokens") {
        collect_contents(value, special);
      }
    }
  }
  const std::filesystem::path path = folder / "added_tokens.json";
  const Json ids = read_object(path);
  Json decoder = Json::object();
  for (const auto& [content, unused] : ids.items()) {
    const int64_t id = core::get_int(ids, content, path.string(), 0, 1 << 24);
    decoder[std::to_string(id)] = {{"content", content}, {"special", special.contains(content)}};
  }
  return decoder;
}

}  // namespace

Json read_tokenizer_config(const std::filesystem::path& folder) {
  Json config = read_object(folder / "tokenizer_config.json");
  if (core::find(config, "added_tokens_decoder") == nullptr) {
    Json added = old_added_tokens(folder, config);
    if (!added.empty()) config["added_tokens_decoder"] = std::move(added);
  }
  return config;
}

ByteLevelSpec read_tokenizer_json(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "tokenizer.json";
  ByteLevelSpec spec;
  spec.where = path.string();
  SortedJson raw = parse_sorted_json(path);
  if (!raw.is_object() || !raw.contains("model") || !raw["model"].is_object()) {
    throw core::UserError(core::str(spec.where, ": key 'model' is missing, expected a BPE model"));
  }
  // Taken out first, so that what is left is small.
  const SortedJson vocabulary = std::exchange(raw["model"]["vocab"], nullptr);
  const SortedJson merges = std::exchange(raw["model"]["merges"], nullptr);
  const Json file = raw;
  const std::string where = spec.where + ": model";
  check_model(file["model"], where);
  spec.bpe.vocabulary = read_vocabulary(vocabulary, where + ".vocab");
  if (!merges.is_array()) refuse(where + ".merges", Json(merges), "a list");
  spec.bpe.merges = read_merges(merges, where + ".merges");
  spec.bpe.ignore_merges = core::get_bool_or(file["model"], "ignore_merges", false, where);
  spec.bpe.vocabulary_where = where + ".vocab";
  spec.bpe.merges_where = where + ".merges";
  check_unknown_token(file["model"], spec);
  read_normalizer(file, spec.where, spec);
  read_pre_tokenizer(file, spec.where, spec);
  check_decoder(file, spec.where);
  check_post_processor(file, spec.where);
  spec.added = parse_added_tokens(file.value("added_tokens", Json()), spec.where);
  const Json config = read_tokenizer_config(folder);
  const std::string config_where = (folder / "tokenizer_config.json").string();
  check_config(config, config_where, spec);
  join_config_tokens(config, config_where, spec);
  return spec;
}

}  // namespace sgrpo::tokenizer
