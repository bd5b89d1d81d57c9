// What the tests of this room ask again and again: a text as run.yaml, and the message of its
// error.
#pragma once

#include <functional>
#include <string>

#include "sgrpo/config/binder.h"
#include "sgrpo/config/config.h"

namespace sgrpo::config {

/// The message of the ConfigError that `action` throws, or "no error": some tests ask for that.
inline std::string config_error(const std::function<void()>& action) {
  try {
    action();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

/// A struct of options with what `text` says.
template <class Options>
Options read_options(const std::string& text) {
  Options options;
  bind(parse_yaml(text, "run.yaml"), options);
  return options;
}

}  // namespace sgrpo::config
