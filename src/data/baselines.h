// `data.baseline`: what a reference earned on each row, measured beforehand.
#pragma once

#include <map>
#include <memory>
#include <string>

namespace sgrpo::data {

/// The mean reward of each id over the rows of a file that `eval --output` wrote, those that no
/// verifier judged aside. Throws core::UserError naming the line that is no such row, and for a
/// file without any.
std::shared_ptr<const std::map<std::string, double>> read_baselines(const std::string& path);

}  // namespace sgrpo::data
