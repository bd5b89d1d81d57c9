// CRC-32C, which frames TensorBoard's event records.
#pragma once

#include <cstdint>
#include <string_view>

namespace sgrpo::telemetry {

/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) of `bytes`.
uint32_t crc32c(std::string_view bytes);

/// TFRecord's masked form: a crc of data that holds crcs would otherwise be degenerate.
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace sgrpo::telemetry
