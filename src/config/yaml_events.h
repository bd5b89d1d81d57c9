// YAML text -> Node tree, for files and for values on the command line.
#pragma once

#include <string>

#include "sgrpo/config/config.h"

namespace sgrpo::config {

/// Parses one document. Places are "<name>:<line>", or `name` alone without `number_lines`.
Node parse_document(const std::string& text, const std::string& name, bool number_lines);

}  // namespace sgrpo::config
