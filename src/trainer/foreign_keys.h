// Keys of TRL, verl, EasyR1 and ms-swift.
#pragma once

#include "sgrpo/config/config.h"

namespace sgrpo::trainer {

/// What to write here instead of another program's key, with unit and conversion.
config::ForeignKeys foreign_keys();

}  // namespace sgrpo::trainer
