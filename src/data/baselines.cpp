#include "data/baselines.h"

#include <cmath>

#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/text.h"
#include "sgrpo/types/verdict.h"

namespace sgrpo::data {
namespace {

struct BaselineSum {
  double rewards = 0.0;
  int64_t count = 0;
};

bool was_judged(const core::Json& row, const std::string& where) {
  const std::string name = core::get_string(row, "status", where);
  const auto status = verdict_status(name);
  if (status) return Verdict{.status = *status}.is_valid();
  throw core::UserError(core::str(where, ": status is '", core::printable(name), "', no verdict"));
}

void add_line(const std::string& line,
              const std::string& where,
              std::map<std::string, BaselineSum>& mutable_sums) {
  const core::Json row = core::parse_json(line, where);
  if (!row.is_object() || !row.contains("id") || !row.contains("reward")) {
    throw core::UserError(core::str(
        where, ": expected a row of `eval --output` with id, reward and status (data.baseline)"));
  }
  if (!was_judged(row, where)) return;
  const double reward = core::get_double(row, "reward", where);
  if (!std::isfinite(reward))
    throw core::UserError(core::str(where, ": reward is ", reward, ", expected a finite number"));
  BaselineSum& sum = mutable_sums[core::get_string(row, "id", where)];
  sum.rewards += reward;
  ++sum.count;
}

}  // namespace

std::shared_ptr<const std::map<std::string, double>> read_baselines(const std::string& path) {
  std::map<std::string, BaselineSum> sums;
  int64_t number = 0;
  for (const std::string& line : core::split(core::read_file(path), '\n')) {
    ++number;
    if (!core::trim(line).empty()) add_line(line, core::str(path, ":", number), sums);
  }
  if (sums.empty())
    throw core::UserError(core::str("data.baseline: ", path, " has no row that was judged"));
  auto means = std::make_shared<std::map<std::string, double>>();
  for (const auto& [id, sum] : sums) (*means)[id] = sum.rewards / static_cast<double>(sum.count);
  return means;
}

}  // namespace sgrpo::data
