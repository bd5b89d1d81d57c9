// One test a row of tests/data/verifier/<verifier>.jsonl:
// {"params", "completion", "ground_truth", "status", "reward", "repeat"}; `repeat` multiplies the
// completion, so that huge texts stay short in the file.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "sgrpo/core/text.h"
#include "sgrpo/verifier/verifier.h"

namespace sgrpo::verifier {
namespace {

const std::filesystem::path kTables = std::filesystem::path(SGRPO_TESTS_DIR) / "data" / "verifier";

/// Tables of these would need a program to run; verifiers with tests of their own.
const std::set<std::string> kWithoutTable = {"command"};

struct Row {
  std::string verifier;
  int64_t line = 0;
  core::Json json;
};

void PrintTo(const Row& row, std::ostream* out) {
  *out << row.verifier << ".jsonl:" << row.line << ": " << core::dump_ascii(row.json);
}

std::vector<Row> read_rows() {
  std::vector<Row> rows;
  for (const std::string& name : VerifierRegistry::names()) {
    std::ifstream file(kTables / (name + ".jsonl"));
    std::string line;
    for (int64_t number = 1; std::getline(file, line); ++number) {
      rows.push_back({name, number, core::parse_json(line, core::str(name, ":", number))});
    }
  }
  return rows;
}

std::string repeated(const std::string& text, int64_t times) {
  std::string result;
  for (int64_t i = 0; i < times; ++i) result += text;
  return result;
}

class VerifierTable : public ::testing::TestWithParam<Row> {};

TEST_P(VerifierTable, gives_status_and_reward_of_the_row) {
  const core::Json& row = GetParam().json;
  const auto factory = VerifierRegistry::get("verifier", GetParam().verifier);
  const core::Json* params = core::find(row, "params");
  const auto verifier =
      factory(params == nullptr ? core::Json::object() : *params, "verifier.params");
  Sample sample;
  sample.completion =
      repeated(core::get_string(row, "completion", "row"), core::get_int_or(row, "repeat", 1, ""));
  sample.ground_truth = core::get_string(row, "ground_truth", "row");
  sample.columns = &row;
  const Verdict verdict = verifier->verify_all({sample}, 10.0).at(0);
  EXPECT_EQ(to_string(verdict.status), core::get_string(row, "status", "row"));
  EXPECT_NEAR(verdict.reward, core::get_double(row, "reward", "row"), 1e-12);
}

std::string name_of(const ::testing::TestParamInfo<Row>& info) {
  return core::str(info.param.verifier, "_line_", info.param.line);
}

INSTANTIATE_TEST_SUITE_P(tables, VerifierTable, ::testing::ValuesIn(read_rows()), name_of);

TEST(VerifierTables, every_verifier_has_thirty_rows_and_every_table_a_verifier) {
  std::map<std::string, int64_t> count;
  for (const Row& row : read_rows()) ++count[row.verifier];
  for (const std::string& name : VerifierRegistry::names()) {
    const bool is_exempt = kWithoutTable.count(name) != 0 || core::starts_with(name, "test_");
    EXPECT_GE(count[name], is_exempt ? 0 : 30) << name;
  }
  for (const auto& entry : std::filesystem::directory_iterator(kTables)) {
    EXPECT_TRUE(VerifierRegistry::contains(entry.path().stem().string())) << entry.path();
  }
}

}  // namespace
}  // namespace sgrpo::verifier
