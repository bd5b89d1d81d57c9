// `tagged`: hands the text inside <answer>...</answer> to another verifier.
#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"
#include "verifier/params.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

class Tagged : public Verifier {
 public:
  Tagged(const core::Json& json, const std::string& where)
      : Tagged(Params(json, where, {"tag", "verifier", "params"})) {}

  Verdict verify(const Sample& sample) const override {
    Sample inside;
    size_t place = 0;
    return open(sample, inside, place) ? moved(inner_->verify(inside), place) : unparsed();
  }

  std::vector<Verdict> verify_all(const std::vector<Sample>& samples,
                                  const TimeLimits& limits) const override {
    std::vector<Verdict> verdicts(samples.size(), unparsed());
    std::vector<Sample> insides;
    std::vector<size_t> indices, places;
    for (size_t i = 0; i < samples.size(); ++i) {
      Sample inside;
      size_t place = 0;
      if (!open(samples[i], inside, place)) continue;
      insides.push_back(std::move(inside));
      indices.push_back(i);
      places.push_back(place);
    }
    const std::vector<Verdict> inner = inner_->verify_all(insides, limits);
    for (size_t i = 0; i < indices.size(); ++i) verdicts[indices[i]] = moved(inner[i], places[i]);
    return verdicts;
  }

  void check_row(const core::Json& columns) const override { inner_->check_row(columns); }
  bool is_batched() const override { return inner_->is_batched(); }
  void use(const VerifierOptions& options) override { inner_->use(options); }

 private:
  explicit Tagged(const Params& params) {
    const std::string tag = params.text("tag", "answer");
    if (tag.empty() || tag.find_first_of("<>/ \t\n") != std::string::npos) {
      throw core::UserError(core::str(params.path("tag"),
                                      " is '",
                                      core::printable(tag),
                                      "', expected a bare tag name like answer"));
    }
    begin_ = "<" + tag + ">";
    end_ = "</" + tag + ">";
    const std::string name = params.text("verifier", "exact");
    if (name == "tagged" || !VerifierRegistry::contains(name)) {
      throw core::UserError(core::str(params.path("verifier"),
                                      ": '",
                                      core::printable(name),
                                      "' is no verifier to wrap",
                                      core::did_you_mean(name, VerifierRegistry::names()),
                                      "; known: ",
                                      core::join(VerifierRegistry::names(), ", ")));
    }
    const core::Json* inner = params.find("params");
    inner_ = VerifierRegistry::get("verifier", name)(
        inner == nullptr ? core::Json::object() : *inner, params.path("params"));
  }

  /// The inner verdict with its spans in the whole completion.
  static Verdict moved(Verdict verdict, size_t place) {
    const auto move = [&](TextSpan& span) {
      span.begin += static_cast<int64_t>(place);
      span.end += static_cast<int64_t>(place);
    };
    if (verdict.answer_span) move(*verdict.answer_span);
    for (VerdictItem& item : verdict.items) move(item.span);
    return verdict;
  }

  /// What the last complete pair of tags holds, and at which byte; false if there is none.
  bool open(const Sample& sample, Sample& mutable_inside, size_t& mutable_place) const {
    mutable_inside = sample;
    const size_t begin = inside_begin(sample.completion);
    if (begin == std::string::npos) return false;
    const size_t end = sample.completion.find(end_, begin);
    const std::string_view inside =
        core::trim(std::string_view(sample.completion).substr(begin, end - begin));
    mutable_inside.completion = std::string(inside);
    mutable_place =
        inside.empty() ? begin : static_cast<size_t>(inside.data() - sample.completion.data());
    // A ground truth may be written with or without the tags.
    const size_t truth = inside_begin(sample.ground_truth);
    if (truth != std::string::npos) {
      const size_t truth_end = sample.ground_truth.find(end_, truth);
      mutable_inside.ground_truth = std::string(
          core::trim(std::string_view(sample.ground_truth).substr(truth, truth_end - truth)));
    }
    return true;
  }

  /// Where the text of the last begin tag with an end tag after it starts, or npos.
  size_t inside_begin(const std::string& text) const {
    const size_t end = text.rfind(end_);
    if (end == std::string::npos || end < begin_.size()) return std::string::npos;
    const size_t begin = text.rfind(begin_, end - begin_.size());
    return begin == std::string::npos ? begin : begin + begin_.size();
  }

  std::string begin_, end_;
  std::unique_ptr<Verifier> inner_;
};

SGRPO_REGISTER_VERIFIER("tagged", Tagged);

}  // namespace
}  // namespace sgrpo::verifier
