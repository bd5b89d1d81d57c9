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
    if (sample.ground_truth.empty()) return no_ground_truth("exact");
    const std::string answer = normalize_(sample.completion);
    if (answer.empty()) return unparsed();
    return graded(answer == normalize_(sample.ground_truth));
  }

 private:
  Normalizer normalize_;
};

SGRPO_REGISTER_VERIFIER("exact", Exact);

}  // namespace
}  // namespace sgrpo::verifier
