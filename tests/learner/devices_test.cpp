// A whole step on a device that holds no data: sampling, scoring, every loss and its backward, of
// every family. What computes on a GPU runs here without one: no tensor may lie elsewhere, nothing
// may be read but through read_on_host, and what a step costs is counted.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <cstdlib>
#include <fstream>

#include "sgrpo/algorithm/rows.h"
#include "sgrpo/core/json.h"
#include "sgrpo/distributed/communicator.h"
#include "sgrpo/learner/learner.h"
#include "sgrpo/types/host_read.h"
#include "testing/meta_kernels.h"
#include "testing/op_watch.h"
#include "testing/safetensors_reader.h"
#include "testing/tiny_families.h"
#include "testing/tiny_policy.h"

namespace sgrpo::learner {
namespace {

using core::Json;
using testing::OpCounts;
using testing::OpWatch;
using testing::TinyPolicy;

using Reads = std::vector<std::vector<at::Tensor>>;

/// What `body` reads, of a device that holds data.
template <class Body>
Reads recorded(const Body& body) {
  Reads reads;
  const HostReader reader([&](const std::vector<at::Tensor>& tensors) {
    std::vector<at::Tensor> copies;
    for (const at::Tensor& tensor : tensors) copies.push_back(tensor.detach().clone());
    reads.push_back(copies);
    return tensors;
  });
  body();
  return reads;
}

/// Runs `body` on the meta device: it reads what was recorded, and nothing else. Returns what it
/// cost up to each read and behind the last.
template <class Body>
std::vector<OpCounts> run_on_meta(const Reads& reads, const Body& body) {
  std::vector<OpCounts> costs;
  size_t next = 0;
  OpWatch watch(at::kMeta);
  const HostReader reader([&](const std::vector<at::Tensor>& tensors) {
    costs.push_back(watch.take());
    if (next >= reads.size()) throw std::logic_error("the meta device is read more often");
    const std::vector<at::Tensor>& values = reads[next++];
    EXPECT_EQ(values.size(), tensors.size());
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_TRUE(tensors.at(i).is_meta()) << "read " << next << ", tensor " << i;
      EXPECT_EQ(tensors.at(i).sizes(), values[i].sizes());
      EXPECT_EQ(tensors.at(i).scalar_type(), values[i].scalar_type());
    }
    return values;
  });
  body();
  costs.push_back(watch.take());
  EXPECT_EQ(next, reads.size()) << "the meta device is read less often";
  EXPECT_TRUE(watch.strays().empty())
      << watch.strays().size() << " strays, first " << watch.strays().front();
  return costs;
}

/// A family, with or without adapters.
struct Variant {
  testing::TinyCheckpoint tiny;
  bool has_lora = false;

  std::string name() const { return testing::family_name(tiny) + (has_lora ? "_lora" : ""); }
  friend void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name(); }
  model::ModelOptions options() const {
    model::ModelOptions options;
    if (has_lora) options.lora = {{"rank", 2}, {"alpha", 4}};
    return options;
  }
};

std::vector<Variant> all_variants() {
  std::vector<Variant> variants;
  for (const auto& tiny : testing::tiny_families()) {
    variants.push_back({tiny, false});
    variants.push_back({tiny, true});
  }
  return variants;
}

TEST(Devices, every_registered_family_is_here) {
  std::set<std::string> here;
  for (const auto& tiny : testing::tiny_families()) here.insert(testing::family_name(tiny));
  for (const std::string& name : model::FamilyRegistry::names())
    EXPECT_EQ(here.count(name), 1U) << name << " belongs into tests/testing/tiny_families.h";
}

class Devices : public ::testing::TestWithParam<Variant> {
 protected:
  Devices()
      : tiny_(GetParam().tiny, GetParam().options()),
        host_(learner_on(at::kCPU)),
        meta_(learner_on(at::kMeta)) {}

  std::unique_ptr<Learner> learner_on(at::Device device) {
    const policy::LanguagePolicy& opened = tiny_.policy();
    const auto folder = std::make_shared<const checkpoint::ModelFolder>(opened.where());
    const model::ModelOptions options = GetParam().options();
    auto policy = std::make_unique<policy::LanguagePolicy>(policy::LanguageParts{
        .folder = folder,
        .model = policy::load_language_model(folder, options, {.device = device}),
        .encoder = opened.encoder(),
        .end_token_ids = opened.end_token_ids(),
        .options = options});
    return std::make_unique<Learner>(
        std::move(policy), optim::OptimOptions{}, policy::Budget{}, *communicator_);
  }

  std::vector<SamplingRequest> requests() const {
    std::vector<SamplingRequest> requests;
    for (const auto& prompt : tiny_.prompts()) {
      SamplingRequest request{.prompt = prompt, .num_samples = 2};
      request.key.prompt_index = requests.size();
      request.options.max_new_tokens = 5;
      requests.push_back(request);
    }
    return requests;
  }

  std::vector<RolloutGroup> sampled() const {
    return testing::sample_all(host_->policy(), requests());
  }

  /// Groups with an injected member, old and reference log-probs that differ from the current ones,
  /// and a part that learns from them by `loss`.
  StepPart part(const std::string& loss) const {
    std::vector<RolloutGroup> groups = sampled();
    for (RolloutGroup& group : groups) {
      group.members.back().completion.origin = Origin::kGroundTruth;
      for (GroupMember& member : group.members) {
        const size_t length = member.completion.token_ids.size();
        member.set_advantage(member.completion.origin == Origin::kSampled ? -0.5 : 1.0);
        member.scores.old_logprobs.assign(length, -3.0f);
        member.scores.ref_logprobs.assign(length, -4.0f);
      }
    }
    StepPart part;
    part.rows = algorithm::rows_of(groups);
    part.loss.algorithm.loss = loss;
    part.loss.algorithm.kl_coef = 0.1;
    part.loss.algorithm.entropy_coef = 0.01;
    return part;
  }

  /// The gradient of a part, twice: the second time it is added to what is there.
  std::vector<OpCounts> accumulate(const StepPart& part) const {
    const auto run = [&](Learner& learner) { learner.accumulate(part, {.seed = 1}); };
    run(*host_), run(*host_);
    const Reads reads = recorded([&] { run(*host_); });
    run_on_meta(reads, [&] { run(*meta_); });
    return run_on_meta(reads, [&] { run(*meta_); });
  }

  void expect_gradients(const Learner& learner) const {
    auto& policy = const_cast<policy::Policy&>(learner.policy());
    ASSERT_FALSE(policy.arena().segments.empty());
    for (const ParameterSegment& segment : policy.arena().segments) {
      const at::Tensor& grad = segment.weight.grad();
      ASSERT_TRUE(grad.defined()) << segment.name;
      EXPECT_TRUE(grad.is_meta()) << segment.name;
      EXPECT_EQ(grad.sizes(), segment.weight.sizes()) << segment.name;
    }
  }

  std::unique_ptr<distributed::Communicator> communicator_ = distributed::make_local();
  TinyPolicy tiny_;
  std::unique_ptr<Learner> host_, meta_;
};

INSTANTIATE_TEST_SUITE_P(Families,
                         Devices,
                         ::testing::ValuesIn(all_variants()),
                         [](const auto& test) { return test.param.name(); });

std::vector<std::vector<int64_t>> ids_of(const std::vector<RolloutGroup>& groups) {
  std::vector<std::vector<int64_t>> ids;
  for (const RolloutGroup& group : groups)
    for (const GroupMember& member : group.members) ids.push_back(member.completion.token_ids);
  return ids;
}

TEST_P(Devices, sampling_stays_on_the_device_and_gives_the_tokens_that_it_reads) {
  std::vector<RolloutGroup> expected, groups;
  const Reads reads = recorded([&] { expected = sampled(); });
  const auto costs =
      run_on_meta(reads, [&] { groups = testing::sample_all(meta_->policy(), requests()); });
  EXPECT_EQ(ids_of(groups), ids_of(expected));
  EXPECT_EQ(reads.size(), 5U) << "one read a token, of all rows";
  EXPECT_EQ(costs.back().ops, 0) << "nothing is computed that nobody reads";
}

TEST_P(Devices, every_loss_and_its_backward_stay_on_the_device) {
  for (const std::string& loss : algorithm::LossRegistry::names()) {
    SCOPED_TRACE(loss);
    accumulate(part(loss));
    expect_gradients(*meta_);
  }
}

TEST_P(Devices, every_shape_of_the_injected_ratio_stays_on_the_device) {
  for (const auto shape :
       {algorithm::GtShape::kPOverPPlusG, algorithm::GtShape::kTrsft, algorithm::GtShape::kPhi}) {
    StepPart shaped = part("clipped");
    shaped.loss.injection.gt_shape = shape;
    accumulate(shaped);
  }
}

TEST_P(Devices, scores_are_read_once_a_pass) {
  const auto rows = part("clipped").rows;
  RowScores expected, scores;
  const Reads reads = recorded([&] { expected = host_->score(rows, {}, Who::kCurrent); });
  run_on_meta(reads, [&] { scores = meta_->score(rows, {}, Who::kCurrent); });
  EXPECT_EQ(reads.size(), 1U);
  EXPECT_EQ(scores.logprobs, expected.logprobs);
}

// ---- The census ---------------------------------------------------------------------------------

std::string census_path() { return std::string(SGRPO_TESTS_DIR) + "/golden/learner/census.json"; }

Json json_of(const OpCounts& counts, int64_t reads) {
  return {{"ops", counts.ops}, {"uploads", counts.uploads}, {"host_reads", reads}};
}

class Census : public Devices {
 protected:
  Json measure() {
    const Reads tokens = recorded([&] { sampled(); });
    const auto steps =
        run_on_meta(tokens, [&] { testing::sample_all(meta_->policy(), requests()); });
    const StepPart clipped = part("clipped");
    const auto pass = accumulate(clipped);
    return {{"prefill", json_of(steps[0], 1)},
            {"first_decode_step", json_of(steps[1], 1)},
            {"decode_step", json_of(steps[3], 1)},
            {"micro_batch", json_of(pass[0], static_cast<int64_t>(pass.size()) - 1)}};
  }
};

INSTANTIATE_TEST_SUITE_P(Families,
                         Census,
                         ::testing::ValuesIn(all_variants()),
                         [](const auto& test) { return test.param.name(); });

/// Fewer operators are welcome; more of them, of uploads or of reads are a step back that somebody
/// has to want: tests/golden/learner/make_census.sh writes the numbers anew.
TEST_P(Census, a_step_costs_no_more_than_before) {
  const Json found = measure();
  if (const char* out = std::getenv("SGRPO_CENSUS_OUT"); out != nullptr) {
    std::ofstream(out, std::ios::app) << Json{{GetParam().name(), found}}.dump() << "\n";
    return;
  }
  const Json golden = core::parse_json(testing::read_whole(census_path()), "census.json");
  ASSERT_TRUE(golden.contains(GetParam().name())) << "run tests/golden/learner/make_census.sh";
  for (const auto& [piece, counts] : golden.at(GetParam().name()).items()) {
    SCOPED_TRACE(piece);
    EXPECT_LE(found.at(piece).at("ops"), counts.at("ops"));
    EXPECT_LE(found.at(piece).at("uploads"), counts.at("uploads"));
    EXPECT_LE(found.at(piece).at("host_reads"), counts.at("host_reads"));
  }
}

}  // namespace
}  // namespace sgrpo::learner
