// `box_iou`: every box of the ground truth is met by one box of the completion, and none is left.
#include <cmath>

#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/boxes.h"
#include "verifier/params.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

constexpr size_t kMaxBoxes = 64;

/// One-to-one assignment in which every pair overlaps enough (augmenting paths), so that the order
/// in which boxes are listed does not matter.
class Matching {
 public:
  Matching(const std::vector<std::vector<double>>& iou, double threshold)
      : iou_(iou), threshold_(threshold), taken_by_(iou.size(), -1) {}

  bool is_complete() {
    for (size_t row = 0; row < iou_.size(); ++row) {
      std::vector<bool> seen(iou_.size(), false);
      if (!place(row, seen)) return false;
    }
    return true;
  }

 private:
  bool place(size_t row, std::vector<bool>& mutable_seen) {
    for (size_t column = 0; column < iou_.size(); ++column) {
      if (iou_[row][column] < threshold_ || mutable_seen[column]) continue;
      mutable_seen[column] = true;
      if (taken_by_[column] < 0 || place(static_cast<size_t>(taken_by_[column]), mutable_seen)) {
        taken_by_[column] = static_cast<int64_t>(row);
        return true;
      }
    }
    return false;
  }

  const std::vector<std::vector<double>>& iou_;
  double threshold_;
  std::vector<int64_t> taken_by_;
};

class BoxIou : public Verifier {
 public:
  BoxIou(const core::Json& json, const std::string& where)
      : BoxIou(Params(json, where, {"threshold", "format", "keys", "reward"})) {}

  Verdict verify(const Sample& sample) const override {
    if (sample.ground_truth.empty()) return no_ground_truth("box_iou");
    const auto expected = find_boxes(sample.ground_truth, keys_, is_xywh_);
    bool is_usable = !expected.empty() && expected.size() <= kMaxBoxes;
    for (const Box& box : expected) is_usable = is_usable && box.area() > 0;
    if (!is_usable) {
      return failed(core::str("box_iou: ground truth '",
                              core::printable(sample.ground_truth),
                              "' does not hold 1..",
                              kMaxBoxes,
                              " boxes with x1 < x2 and y1 < y2"));
    }
    const auto answer = find_boxes(sample.completion, keys_, is_xywh_);
    if (answer.empty() || answer.size() > kMaxBoxes) return unparsed();
    return compare(answer, expected);
  }

 private:
  explicit BoxIou(const Params& params)
      : threshold_(params.number("threshold", 0.5, 0.0, 1.0)),
        is_xywh_(params.choice("format", "xyxy", {"xyxy", "xywh"}) == "xywh"),
        keys_(params.texts("keys", {"bbox_2d", "bbox", "box"})),
        rewards_iou_(params.choice("reward", "binary", {"binary", "iou"}) == "iou") {
    if (threshold_ == 0.0) {
      refuse(params.path("threshold"), *params.find("threshold"), "a number above 0, at most 1");
    }
  }

  Verdict compare(const std::vector<Box>& answer, const std::vector<Box>& expected) const {
    std::vector<std::vector<double>> iou(answer.size(), std::vector<double>(expected.size()));
    for (size_t i = 0; i < answer.size(); ++i) {
      for (size_t j = 0; j < expected.size(); ++j) {
        iou[i][j] = intersection_over_union(answer[i], expected[j]);
      }
    }
    const bool is_square = answer.size() == expected.size();
    Verdict verdict = graded(is_square && Matching(iou, threshold_).is_complete());
    if (rewards_iou_) verdict.reward = mean_iou(iou);
    return verdict;
  }

  /// Pairs taken greedily from the best overlap down; a box without partner counts 0.
  static double mean_iou(std::vector<std::vector<double>> iou) {
    const size_t count = std::max(iou.size(), iou.front().size());
    double sum = 0.0;
    for (size_t round = 0; round < count; ++round) {
      double best = 0.0;
      size_t row = 0, column = 0;
      for (size_t i = 0; i < iou.size(); ++i) {
        for (size_t j = 0; j < iou[i].size(); ++j) {
          if (iou[i][j] <= best) continue;
          best = iou[i][j];
          row = i;
          column = j;
        }
      }
      if (best == 0.0) break;
      sum += best;
      for (double& value : iou[row]) value = 0.0;
      for (auto& values : iou) values[column] = 0.0;
    }
    return sum / static_cast<double>(count);
  }

  double threshold_;
  bool is_xywh_;
  std::vector<std::string> keys_;
  bool rewards_iou_;
};

SGRPO_REGISTER_VERIFIER("box_iou", BoxIou);

}  // namespace
}  // namespace sgrpo::verifier
