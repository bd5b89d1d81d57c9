#include "sgrpo/model/packed_tokens.h"

#include <ATen/ATen.h>

namespace sgrpo::model {

PackedTokens PackedTokens::to(at::Device device) const {
  PackedTokens result = *this;
  for (at::Tensor* tensor :
       {&result.token_ids, &result.position_ids, &result.pixel_values, &result.image_rows}) {
    if (tensor->defined() && tensor->device() != device) *tensor = tensor->to(device);
  }
  result.plan = plan.to(device);
  return result;
}

void PackedTokens::validate(at::Device device) const {
  TORCH_CHECK_VALUE(token_ids.defined() && token_ids.dim() == 1, "token_ids must be [T]");
  const int64_t tokens = token_ids.size(0);
  TORCH_CHECK_TYPE(token_ids.scalar_type() == at::kLong,
                   "token_ids is ",
                   token_ids.scalar_type(),
                   ", expected Long");
  TORCH_CHECK_VALUE(position_ids.defined() && position_ids.dim() == 2 &&
                        position_ids.size(0) == 3 && position_ids.size(1) == tokens,
                    "position_ids must be [3, T] with T = ",
                    tokens);
  TORCH_CHECK_VALUE(!has_images() || (image_rows.defined() && image_rows.dim() == 1),
                    "image_rows must be [R] where there are images");
  TORCH_CHECK_VALUE(plan.num_queries() == tokens,
                    "the attention plan covers ",
                    plan.num_queries(),
                    " of ",
                    tokens,
                    " tokens");
  const at::Tensor& table = plan.table();
  for (const at::Tensor* tensor : {&token_ids, &position_ids, &pixel_values, &image_rows, &table}) {
    TORCH_CHECK_VALUE(!tensor->defined() || tensor->numel() == 0 || tensor->device() == device,
                      "packed tokens lie on ",
                      tensor->device(),
                      ", the model on ",
                      device,
                      ": upload them once after packing");
  }
}

void append_image_rows(const EncodedPrompt& prompt, int64_t begin, std::vector<int64_t>& rows) {
  for (const int64_t row : prompt.image_rows) rows.push_back(begin + row);
}

}  // namespace sgrpo::model
