#include "gloo/forward.h"
