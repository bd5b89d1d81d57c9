// Boxes in a text, and their overlap.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sgrpo::verifier {

/// Corners with x1 < x2 and y1 < y2 unless degenerate; any unit.
struct Box {
  double x1 = 0, y1 = 0, x2 = 0, y2 = 0;
  double area() const;
};

/// Intersection over union; 0 where either box is degenerate.
double intersection_over_union(const Box& a, const Box& b);

/// The boxes of a text: JSON members called one of `keys` or with members x1, y1, x2, y2; else
/// every [a, b, c, d] or (a, b, c, d), every "(a, b), (c, d)"; else a text of exactly four numbers.
/// `is_xywh`: the third and fourth number are width and height. At most 65 are returned.
std::vector<Box> find_boxes(std::string_view text,
                            const std::vector<std::string>& keys,
                            bool is_xywh);

}  // namespace sgrpo::verifier
