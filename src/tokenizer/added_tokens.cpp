#include "added_tokens.h"

#include <algorithm>
#include <charconv>

#include "sgrpo/core/check.h"
#include "sgrpo/core/text.h"
#include "unicode.h"

namespace sgrpo::tokenizer {
namespace {

size_t spaces_at_start(std::string_view text) {
  size_t taken = 0;
  while (taken < text.size()) {
    size_t size = 0;
    if (!is_space(first_point(text.substr(taken), size))) break;
    taken += size;
  }
  return taken;
}

size_t without_spaces_at_end(std::string_view text) {
  while (!text.empty()) {
    size_t size = 0;
    if (!is_space(last_point(text, size))) break;
    text.remove_suffix(size);
  }
  return text.size();
}

bool touches_word(std::string_view before, std::string_view after) {
  size_t size = 0;
  return (!before.empty() && is_word(last_point(before, size))) ||
         (!after.empty() && is_word(first_point(after, size)));
}

}  // namespace

AddedToken parse_added_token(const core::Json& entry, int64_t id, const std::string& where) {
  AddedToken token;
  token.id = id;
  token.content = core::get_string(entry, "content", where);
  token.special = core::get_bool_or(entry, "special", false, where);
  token.normalized = core::get_bool_or(entry, "normalized", !token.special, where);
  token.lstrip = core::get_bool_or(entry, "lstrip", false, where);
  token.rstrip = core::get_bool_or(entry, "rstrip", false, where);
  token.single_word = core::get_bool_or(entry, "single_word", false, where);
  if (token.content.empty()) throw core::UserError(where + ": 'content' is empty");
  return token;
}

std::vector<AddedToken> parse_added_tokens(const core::Json& list, const std::string& where) {
  std::vector<AddedToken> tokens;
  if (list.is_null()) return tokens;
  if (!list.is_array()) {
    throw core::UserError(core::str(where,
                                    ": added_tokens is ",
                                    core::printable(core::dump_ascii(list), 120),
                                    ", expected a list"));
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string entry = core::str(where, ": added_tokens[", i, "]");
    const int64_t id = core::get_int(list[i], "id", entry, 0, 1 << 24);
    tokens.push_back(parse_added_token(list[i], id, entry));
  }
  return tokens;
}

std::vector<AddedToken> parse_added_tokens_decoder(const core::Json& config,
                                                   const std::string& where) {
  std::vector<AddedToken> tokens;
  if (core::find(config, "added_tokens_decoder") == nullptr) return tokens;
  for (const auto& [key, entry] : core::get_object(config, "added_tokens_decoder", where).items()) {
    int64_t id = -1;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), id);
    if (parsed.ec != std::errc() || parsed.ptr != key.data() + key.size() || id < 0) {
      throw core::UserError(core::str(
          where, ": key '", core::printable(key), "' of added_tokens_decoder is not a token id"));
    }
    tokens.push_back(
        parse_added_token(entry, id, core::str(where, ": added_tokens_decoder.", key)));
  }
  std::sort(tokens.begin(), tokens.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.id < b.id;
  });
  return tokens;
}

AddedTokenMatcher::AddedTokenMatcher(const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens) {
    SGRPO_CHECK(!token.content.empty(), "added token ", token.id, " has no content");
    by_first_byte_[static_cast<unsigned char>(token.content[0])].push_back(token);
  }
  for (auto& bucket : by_first_byte_) {
    std::stable_sort(bucket.begin(), bucket.end(), [](const AddedToken& a, const AddedToken& b) {
      return a.content.size() > b.content.size();
    });
  }
}

const AddedToken* AddedTokenMatcher::longest_at(std::string_view rest) const {
  for (const AddedToken& token : by_first_byte_[static_cast<unsigned char>(rest[0])]) {
    if (core::starts_with(rest, token.content)) return &token;
  }
  return nullptr;
}

std::vector<Segment> AddedTokenMatcher::split(std::string_view text) const {
  std::vector<Segment> segments;
  size_t done = 0;  // end of the last segment
  for (size_t at = 0; at < text.size();) {
    const AddedToken* token = longest_at(text.substr(at));
    if (token == nullptr) {
      ++at;
      continue;
    }
    size_t start = at;
    size_t stop = at + token->content.size();
    at = stop;
    if (token->single_word && touches_word(text.substr(0, start), text.substr(stop))) continue;
    if (token->lstrip) start = std::max(without_spaces_at_end(text.substr(0, start)), done);
    if (token->rstrip) stop += spaces_at_start(text.substr(stop));
    if (done < start) segments.push_back({text.substr(done, start - done), -1});
    segments.push_back({{}, token->id});
    done = stop;
  }
  if (done < text.size()) segments.push_back({text.substr(done), -1});
  return segments;
}

}  // namespace sgrpo::tokenizer
