#include "kernels/group_advantage/group_advantage_body.h"

namespace sgrpo::kernels {

void group_advantage_cpu(const GroupAdvantageParams& params) {
  for (int64_t group = 0; group < params.num_groups; ++group) group_advantage_body(params, group);
}

}  // namespace sgrpo::kernels
