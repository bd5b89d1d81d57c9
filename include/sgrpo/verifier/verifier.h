// Completion + ground truth -> Verdict. Text in, verdict out; no model, no tokens.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sgrpo/core/json.h"
#include "sgrpo/core/registry.h"
#include "sgrpo/types/prompt_record.h"
#include "sgrpo/types/verdict.h"
#include "sgrpo/verifier/options.h"

namespace sgrpo::verifier {

/// What a verifier sees of one completion.
struct Sample {
  std::string completion;               // decoded text without the end token
  std::string ground_truth;             // "" if the row has none
  const core::Json* columns = nullptr;  // the whole row, extra columns included; may be null
  bool is_truncated = false;            // cut at the length limit
};

/// A verifier: pure, thread-safe, never throws on bad text. It fills the verdict's `answer` whether
/// or not there is a ground truth to compare with.
class Verifier {
 public:
  virtual ~Verifier() = default;
  /// The verdict on one sample, without limits: callers that judge model output use verify_all.
  virtual Verdict verify(const Sample& sample) const = 0;
  /// Many at once; order is kept. The default loops and guards each call: a text above 1 MiB is
  /// kUnparsed, a thrown exception kError, and more than `limits.row_s` of processor time kTimeout
  /// (an in-process verifier bounds its own work, so it always comes back). `command` overrides it.
  /// Throws core::Interrupted if a stop was asked for and samples are left.
  virtual std::vector<Verdict> verify_all(const std::vector<Sample>& samples,
                                          const TimeLimits& limits) const;
  /// Throws core::UserError for a row whose columns lack what this verifier judges by.
  virtual void check_row(const core::Json& /*columns*/) const {}
  /// Whether samples should arrive in few verify_all calls, `verifier.workers` of them at once (a
  /// process serves each).
  virtual bool is_batched() const { return false; }
  /// Takes what the run's options say about external programs, before the first verdict. Throws
  /// core::UserError where they cannot be met.
  virtual void use(const VerifierOptions& /*options*/) {}
};

/// All verifiers of a run: the default one, named instances, and a weighted combination where
/// `rewards` asks for it.
///
/// A name is looked up as an instance, then as the default, then as a built-in without parameters.
/// Combination: reward = sum of weight * reward / sum of weights; kCorrect if every component is,
/// kTimeout or kError if any component is, kUnparsed if every failed component is, else kIncorrect.
/// Answer, items and comment are those of the first entry that gives one. A ground truth is judged
/// without the entries that say on_ground_truth: false: they add nothing to its reward and are not
/// in its breakdown, and the other weights stay.
class VerifierSet {
 public:
  /// Throws core::UserError naming the key (verifiers.caption.params.slots) and what was expected.
  VerifierSet(const VerifierOptions& options,
              const core::Json& instances,
              const core::Json& rewards);
  ~VerifierSet();
  VerifierSet(VerifierSet&& other) noexcept;

  /// One job: which row, which completion.
  struct Job {
    std::string verifier;  // the row's choice; "" = default
    Sample sample;
    bool is_ground_truth = false;  // rewards with on_ground_truth: false do not judge it
  };

  /// Verdicts in order; runs in parallel, each with the time limit; late or failing verifiers give
  /// kTimeout / kError. Truncated samples are not judged: kIncorrect, or by `verifier.truncated`
  /// mask kTruncated, or judge, and then they are. Every valid verdict's `breakdown` names its
  /// verifiers. Throws core::Interrupted if a stop was asked for before the last verdict.
  std::vector<Verdict> judge(const std::vector<Job>& jobs) const;

  /// Throws core::UserError if the row names an unknown verifier.
  void check_name(const std::string& verifier, const std::string& where) const;

  /// Throws core::UserError if the row lacks a column that its verifiers judge by.
  void check_row(const std::string& verifier, const core::Json& columns) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sgrpo::verifier

#define SGRPO_REGISTER_VERIFIER(name, Class)                                         \
  static const bool registered_##Class = ::sgrpo::verifier::VerifierRegistry::add(   \
      name,                                                                          \
      [](const ::sgrpo::core::Json& params,                                          \
         const std::string& where) -> std::unique_ptr<::sgrpo::verifier::Verifier> { \
        return std::make_unique<Class>(params, where);                               \
      })
