// What is wrong with a verifier's parameters is said with the key's path.
#include <gtest/gtest.h>

#include "sgrpo/verifier/verifier.h"

namespace sgrpo::verifier {
namespace {

std::string error_of(const std::string& verifier, const char* params) {
  try {
    VerifierRegistry::get("verifier", verifier)(core::parse_json(params, "test"),
                                                "verifier.params");
  } catch (const core::UserError& error) {
    return error.what();
  }
  return "no error";
}

struct Case {
  const char* name;
  const char* verifier;
  const char* params;
  const char* error;
};

class ParameterError : public ::testing::TestWithParam<Case> {};

TEST_P(ParameterError, says_where_what_and_what_was_expected) {
  EXPECT_EQ(error_of(GetParam().verifier, GetParam().params), GetParam().error);
}

const Case kCases[] = {
    {"not_an_object", "exact", "[1]", "verifier.params is [1], expected an object"},
    {"misspelt_key",
     "numeric",
     R"({"tolerence": 1})",
     "verifier.params.tolerence: unknown parameter (did you mean 'tolerance'?); known: tolerance, "
     "relative_tolerance, position"},
    {"negative_tolerance",
     "numeric",
     R"({"tolerance": -1})",
     "verifier.params.tolerance is -1, expected >= 0"},
    {"text_tolerance",
     "numeric",
     R"({"tolerance": "small"})",
     "verifier.params.tolerance is \"small\", expected a number"},
    {"unknown_position",
     "numeric",
     R"({"position": "frist"})",
     "verifier.params.position is 'frist' (did you mean 'first'?), expected one of first, last, "
     "only"},
    {"unknown_normalisation",
     "exact",
     R"({"normalize": ["strip", "lowr"]})",
     "verifier.params.normalize: unknown normalisation 'lowr' (did you mean 'lower'?); known: "
     "none, strip, lower, whitespace, punctuation"},
    {"none_beside_another",
     "exact",
     R"({"normalize": ["none", "lower"]})",
     "verifier.params.normalize: 'none' must stand alone"},
    {"normalisation_of_wrong_type",
     "exact",
     R"({"normalize": ["strip", 3]})",
     "verifier.params.normalize[1] is 3, expected a string"},
    {"fraction_for_an_integer",
     "count",
     R"({"tolerance": 0.5})",
     "verifier.params.tolerance is 0.5, expected an integer in 0..1000000000"},
    {"slots_missing",
     "keywords",
     "{}",
     "verifier.params.slots is missing: expected a list of word lists, one a slot"},
    {"slots_empty",
     "keywords",
     R"({"slots": []})",
     "verifier.params.slots is [], expected a list of word lists, one a slot"},
    {"slot_no_list",
     "keywords",
     R"({"slots": [["a"], "b"]})",
     "verifier.params.slots[1] is \"b\", expected a list of words"},
    {"slot_word_never_read",
     "keywords",
     R"({"slots": [["t-shirt"]]})",
     "verifier.params.slots[0] holds 't-shirt', expected letters and digits that `characters` "
     "allows"},
    {"slot_word_not_allowed",
     "keywords",
     R"({"slots": [["Boot"]]})",
     "verifier.params.slots[0] holds 'Boot', expected letters and digits that `characters` allows"},
    {"word_in_two_slots",
     "keywords",
     R"({"slots": [["a"], ["b", "a"]]})",
     "verifier.params.slots[1] holds 'a', which stands in another slot or in the filler"},
    {"word_in_slot_and_filler",
     "keywords",
     R"({"slots": [["a"]], "filler": ["a"]})",
     "verifier.params.filler holds 'a', which stands in another slot or in the filler"},
    {"characters_no_set",
     "keywords",
     R"({"slots": [["a"]], "characters": "a-z"})",
     "verifier.params.characters is 'a-z', expected a set like [a-z ,.:;-]: a bracketed, not "
     "negated list"},
    {"characters_backwards",
     "keywords",
     R"({"slots": [["a"]], "characters": "[z-a]"})",
     "verifier.params.characters is '[z-a]', expected a set like [a-z ,.:;-]: a range runs "
     "backwards"},
    {"choices_repeated",
     "choice",
     R"({"choices": ["A", "a"]})",
     "verifier.params.choices holds 'a', expected labels that differ and are not empty"},
    {"choices_empty",
     "choice",
     R"({"choices": []})",
     "verifier.params.choices is [], expected some labels"},
    {"flag_of_wrong_type",
     "contains",
     R"({"whole_words": 1})",
     "verifier.params.whole_words is 1, expected true or false"},
    {"forbidden_empty",
     "contains",
     R"({"forbidden": [" "]})",
     "verifier.params.forbidden holds an empty text, which every text contains"},
    {"pattern_broken",
     "regex",
     R"({"pattern": "a(b"})",
     "verifier.params.pattern is 'a(b', expected a PCRE2 pattern: missing closing parenthesis at "
     "byte 3 of the pattern"},
    {"group_beyond_pattern",
     "regex",
     R"json({"pattern": "(a)", "group": 2})json",
     "verifier.params.group is 2, expected 0..1"},
    {"threshold_above_one",
     "box_iou",
     R"({"threshold": 1.5})",
     "verifier.params.threshold is 1.5, expected 0..1"},
    {"threshold_zero",
     "box_iou",
     R"({"threshold": 0})",
     "verifier.params.threshold is 0, expected a number above 0, at most 1"},
    {"inner_parameter",
     "tagged",
     R"({"verifier": "numeric", "params": {"tolerance": -1}})",
     "verifier.params.params.tolerance is -1, expected >= 0"},
    {"tag_with_brackets",
     "tagged",
     R"({"tag": "<answer>"})",
     "verifier.params.tag is '<answer>', expected a bare tag name like answer"},
};

INSTANTIATE_TEST_SUITE_P(all, ParameterError, ::testing::ValuesIn(kCases), [](const auto& slot) {
  return std::string(slot.param.name);
});

TEST(Parameters, tagged_refuses_an_unknown_inner_verifier_and_itself) {
  const std::string error = error_of("tagged", R"({"verifier": "numerc"})");
  EXPECT_EQ(error.rfind("verifier.params.verifier: 'numerc' is no verifier to wrap (did you mean "
                        "'numeric'?); known: ",
                        0),
            0U)
      << error;
  EXPECT_NE(error_of("tagged", R"({"verifier": "tagged"})"), "no error");
}

TEST(VerifierRegistry, holds_every_built_in) {
  for (const char* const name : {"exact",
                                 "choice",
                                 "numeric",
                                 "contains",
                                 "keywords",
                                 "regex",
                                 "json_equal",
                                 "box_iou",
                                 "count",
                                 "math",
                                 "tagged",
                                 "command"}) {
    EXPECT_TRUE(VerifierRegistry::contains(name)) << name;
  }
}

}  // namespace
}  // namespace sgrpo::verifier
