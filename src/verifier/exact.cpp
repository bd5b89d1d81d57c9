// `exact`: the completion equals the ground truth after the named normalisation.
#include "sgrpo/verifier/verifier.h"
#include "verifier/normalize.h"
#include "verifier/verdicts.h"

namespace sgrpo::verifier {
namespace {

class Exact : public Verifier {
 public:
  Exact(const core::Json& params, const std::string& where)
      : normalize_(Params(params, where, {"normalize"}), "normalize", {"strip"}) {}

  Verdict verify(const Sample& sample) const override {
    const std::string answer = normalize_(sample.completion);
    return answered(judge(answer, sample.ground_truth),
                    answer,
                    span_of(sample.completion, stripped(sample.completion)));
  }

 private:
  Verdict judge(const std::string& answer, const std::string& ground_truth) const {
    if (ground_truth.empty()) return no_ground_truth("exact");
    return answer.empty() ? unparsed() : graded(answer == normalize_(ground_truth));
  }

  Normalizer normalize_;
};

SGRPO_REGISTER_VERIFIER("exact", Exact);

}  // namespace
}  // namespace sgrpo::verifier
