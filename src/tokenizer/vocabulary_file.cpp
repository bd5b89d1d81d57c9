#include "vocabulary_file.h"

#include <unordered_set>

#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/text.h"

namespace sgrpo::tokenizer {
namespace {

constexpr uint64_t kMaxVocabularyBytes = uint64_t{256} << 20;
constexpr int kMaxDepth = 64;

}  // namespace

SortedJson parse_sorted_json(const std::filesystem::path& path) {
  const std::string text = core::read_file(path, kMaxVocabularyBytes);
  const std::string where = path.string();
  std::vector<std::unordered_set<std::string>> keys;
  const SortedJson::parser_callback_t guard =
      [&](int depth, SortedJson::parse_event_t event, SortedJson& parsed) {
        if (depth > kMaxDepth) {
          throw core::UserError(
              core::str(where, ": JSON is nested deeper than ", kMaxDepth, " levels"));
        }
        if (event == SortedJson::parse_event_t::object_start) keys.emplace_back();
        if (event == SortedJson::parse_event_t::object_end) keys.pop_back();
        if (event == SortedJson::parse_event_t::key &&
            !keys.back().insert(parsed.get_ref<const std::string&>()).second) {
          throw core::UserError(core::str(where,
                                          ": key '",
                                          core::printable(parsed.get<std::string>()),
                                          "' appears twice in one object"));
        }
        return true;
      };
  try {
    return SortedJson::parse(text.begin(), text.end(), guard);
  } catch (const SortedJson::parse_error& error) {
    throw core::UserError(
        core::str(where, ": not valid JSON (byte ", error.byte, "), expected a tokenizer file"));
  } catch (const SortedJson::out_of_range&) {
    throw core::UserError(
        core::str(where, ": holds a number beyond every double, expected a tokenizer file"));
  }
}

std::vector<std::pair<std::string, int64_t>> read_vocabulary(const SortedJson& object,
                                                             const std::string& where) {
  if (!object.is_object()) {
    throw core::UserError(
        core::str(where, " is a ", object.type_name(), ", expected an object of token: id"));
  }
  std::vector<std::pair<std::string, int64_t>> vocabulary;
  vocabulary.reserve(object.size());
  for (const auto& [token, id] : object.items()) {
    if (!id.is_number_integer()) {
      throw core::UserError(core::str(where,
                                      ": token '",
                                      core::printable(token),
                                      "' has a ",
                                      id.type_name(),
                                      ", expected an integer id"));
    }
    vocabulary.emplace_back(token, id.get<int64_t>());
  }
  return vocabulary;
}

}  // namespace sgrpo::tokenizer
