// safetensors' names of element types and LibTorch's.
#pragma once

#include <c10/core/ScalarType.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace sgrpo::checkpoint {

struct Dtype {
  std::string_view name;
  c10::ScalarType scalar;
  uint64_t bytes;
};

constexpr std::array<Dtype, 10> kDtypes = {{{"F64", c10::ScalarType::Double, 8},
                                            {"F32", c10::ScalarType::Float, 4},
                                            {"F16", c10::ScalarType::Half, 2},
                                            {"BF16", c10::ScalarType::BFloat16, 2},
                                            {"I64", c10::ScalarType::Long, 8},
                                            {"I32", c10::ScalarType::Int, 4},
                                            {"I16", c10::ScalarType::Short, 2},
                                            {"I8", c10::ScalarType::Char, 1},
                                            {"U8", c10::ScalarType::Byte, 1},
                                            {"BOOL", c10::ScalarType::Bool, 1}}};

/// The row called `name`, or nullptr.
constexpr const Dtype* find_dtype(std::string_view name) {
  for (const Dtype& row : kDtypes) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

/// The row of a LibTorch type, or nullptr.
constexpr const Dtype* find_dtype(c10::ScalarType scalar) {
  for (const Dtype& row : kDtypes) {
    if (row.scalar == scalar) return &row;
  }
  return nullptr;
}

/// "F64, F32, ...", for messages.
inline std::string known_dtypes() {
  std::string text;
  for (const Dtype& row : kDtypes) text.append(text.empty() ? "" : ", ").append(row.name);
  return text;
}

}  // namespace sgrpo::checkpoint
