#include "verifier/boxes.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "verifier/json_text.h"

namespace sgrpo::verifier {
namespace {

constexpr size_t kMaxParsedBoxes = 65;
constexpr double kMaxCoordinate = 1e9;

using Numbers = std::vector<double>;

std::optional<Box> box_from(const Numbers& n, bool is_xywh) {
  if (n.size() != 4) return std::nullopt;
  for (const double x : n) {
    if (!std::isfinite(x) || std::abs(x) > kMaxCoordinate) return std::nullopt;
  }
  return Box{n[0], n[1], is_xywh ? n[0] + n[2] : n[2], is_xywh ? n[1] + n[3] : n[3]};
}

bool is_separator(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ','; }

size_t skip_separators(std::string_view text, size_t i) {
  while (i < text.size() && is_separator(text[i])) ++i;
  return i;
}

/// Numbers from `i` on, between separators; `i` ends at the first character that is neither.
Numbers read_numbers(std::string_view text, size_t& mutable_i, size_t most) {
  Numbers numbers;
  while (numbers.size() < most) {
    mutable_i = skip_separators(text, mutable_i);
    double value = 0;
    const char* const begin = text.data() + mutable_i;
    const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
    if (error != std::errc()) break;
    mutable_i += static_cast<size_t>(end - begin);
    numbers.push_back(value);
  }
  mutable_i = skip_separators(text, mutable_i);
  return numbers;
}

struct Keys {
  const std::vector<std::string>& names;
  bool is_xywh;
};

void collect(const core::Json& value,
             const Keys& keys,
             bool is_named,
             std::vector<Box>& mutable_boxes);

void collect_list(const core::Json& list,
                  const Keys& keys,
                  bool is_named,
                  std::vector<Box>& mutable_boxes) {
  Numbers numbers;
  for (const core::Json& item : list) {
    if (item.is_number()) numbers.push_back(item.get<double>());
  }
  if (numbers.size() == list.size()) {
    const auto box = is_named ? box_from(numbers, keys.is_xywh) : std::nullopt;
    if (box && mutable_boxes.size() < kMaxParsedBoxes) mutable_boxes.push_back(*box);
    return;
  }
  for (const core::Json& item : list) collect(item, keys, is_named, mutable_boxes);
}

void collect(const core::Json& value,
             const Keys& keys,
             bool is_named,
             std::vector<Box>& mutable_boxes) {
  if (value.is_array()) collect_list(value, keys, is_named, mutable_boxes);
  if (!value.is_object()) return;
  Numbers corners;
  for (const char* const name : {"x1", "y1", "x2", "y2"}) {
    const core::Json* corner = core::find(value, name);
    if (corner != nullptr && corner->is_number()) corners.push_back(corner->get<double>());
  }
  const auto box = box_from(corners, false);
  if (box && mutable_boxes.size() < kMaxParsedBoxes) mutable_boxes.push_back(*box);
  for (const auto& [key, member] : value.items()) {
    const bool is_box = std::find(keys.names.begin(), keys.names.end(), key) != keys.names.end();
    collect(member, keys, is_box, mutable_boxes);
  }
}

std::vector<Box> scan(std::string_view text, bool is_xywh) {
  std::vector<Box> boxes;
  Numbers point;  // "(a, b)" that a second one may complete
  size_t point_end = 0;
  for (size_t i = 0; i < text.size() && boxes.size() < kMaxParsedBoxes; ++i) {
    if (text[i] != '[' && text[i] != '(') continue;
    const char close = text[i] == '[' ? ']' : ')';
    size_t end = i + 1;
    Numbers numbers = read_numbers(text, end, 5);
    if (end >= text.size() || text[end] != close) continue;
    const bool completes =
        numbers.size() == 2 && point.size() == 2 && skip_separators(text, point_end) == i;
    if (completes) numbers.insert(numbers.begin(), point.begin(), point.end());
    if (const auto box = box_from(numbers, is_xywh)) boxes.push_back(*box);
    point = numbers.size() == 2 ? numbers : Numbers();
    point_end = end + 1;
    i = end;
  }
  return boxes;
}

}  // namespace

double Box::area() const { return std::max(0.0, x2 - x1) * std::max(0.0, y2 - y1); }

double intersection_over_union(const Box& a, const Box& b) {
  const Box common{
      std::max(a.x1, b.x1), std::max(a.y1, b.y1), std::min(a.x2, b.x2), std::min(a.y2, b.y2)};
  const double both = common.area();
  const double either = a.area() + b.area() - both;
  return a.area() > 0 && b.area() > 0 ? both / either : 0.0;
}

std::vector<Box> find_boxes(std::string_view text,
                            const std::vector<std::string>& keys,
                            bool is_xywh) {
  std::vector<Box> boxes;
  if (const auto json = find_json(text)) collect(json->value, {keys, is_xywh}, false, boxes);
  if (boxes.empty()) boxes = scan(text, is_xywh);
  if (!boxes.empty()) return boxes;
  size_t end = 0;
  const Numbers numbers = read_numbers(text, end, 5);
  const auto box = box_from(numbers, is_xywh);
  if (box && end == text.size()) boxes.push_back(*box);
  return boxes;
}

}  // namespace sgrpo::verifier
