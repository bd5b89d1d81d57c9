#include <algorithm>
#include <cmath>

#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/text.h"
#include "sgrpo/image/processor.h"

namespace sgrpo::image {
namespace {

using core::Json;

constexpr int64_t kMaxEdge = 1024;              // of a patch, in pixels
constexpr int64_t kMaxArea = int64_t{1} << 40;  // "no limit" is sometimes written as a huge number

std::array<double, 3> read_triple(const Json& json,
                                  const std::string& key,
                                  std::array<double, 3> fallback,
                                  const std::string& where) {
  const Json* value = core::find(json, key);
  if (value == nullptr) return fallback;
  const bool is_list = value->is_array() && value->size() == 3;
  for (size_t i = 0; is_list && i < 3; ++i) {
    if (!(*value)[i].is_number()) break;
    fallback[i] = (*value)[i].get<double>();
    if (i == 2) return fallback;
  }
  throw core::UserError(core::str(where,
                                  ": '",
                                  key,
                                  "' is ",
                                  core::printable(core::dump_ascii(*value), 100),
                                  ", expected a list of three numbers"));
}

/// transformers would skip the step; the model never saw such pixels, so the file is wrong.
void require_step(const Json& json, const std::string& key, const std::string& where) {
  if (!core::get_bool_or(json, key, true, where)) {
    throw core::UserError(core::str(
        where, ": '", key, "' is false; only processors that do this step are supported"));
  }
}

/// A step that Qwen's processors lack and transformers would do all the same.
void refuse_step(const Json& json, const std::string& key, const std::string& where) {
  if (core::get_bool_or(json, key, false, where)) {
    throw core::UserError(
        core::str(where, ": '", key, "' is true; processors that do this step are not supported"));
  }
}

/// `size` must say something of areas: {height, width} would be another processor's.
void require_areas(const Json& size, const std::string& where) {
  for (const char* key : {"shortest_edge", "longest_edge", "min_pixels", "max_pixels"}) {
    if (core::find(size, key) != nullptr) return;
  }
  throw core::UserError(
      core::str(where,
                ": 'size' is ",
                core::printable(core::dump_ascii(size), 100),
                ", expected {\"shortest_edge\": N, \"longest_edge\": N} in pixels"));
}

void read_size(const Json& json, const std::string& where, ProcessorConfig& config) {
  const auto area = [&](const Json& object, const std::string& key, int64_t& target) {
    target = core::get_int_or(object, key, target, where, 1, kMaxArea);
  };
  if (const Json* size = core::find(json, "size"); size != nullptr) {
    require_areas(*size, where);
    area(*size, "shortest_edge", config.min_pixels);
    area(*size, "longest_edge", config.max_pixels);
    area(*size, "min_pixels", config.min_pixels);
    area(*size, "max_pixels", config.max_pixels);
  }
  area(json, "min_pixels", config.min_pixels);
  area(json, "max_pixels", config.max_pixels);
  if (config.min_pixels > config.max_pixels) {
    throw core::UserError(core::str(where,
                                    ": min_pixels is ",
                                    config.min_pixels,
                                    ", larger than max_pixels = ",
                                    config.max_pixels));
  }
}

ProcessorConfig read_config(const Json& json, const std::string& where) {
  if (!json.is_object()) throw core::UserError(where + ": not an object of settings");
  const std::string type = core::get_string_or(json, "image_processor_type", "Qwen", where);
  if (!core::starts_with(type, "Qwen")) {
    throw core::UserError(core::str(
        where, ": 'image_processor_type' is '", type, "', expected a Qwen image processor"));
  }
  for (const char* step : {"do_resize", "do_rescale", "do_normalize"})
    require_step(json, step, where);
  refuse_step(json, "do_center_crop", where);
  constexpr int64_t kBicubic = 3;
  const int64_t resample = core::get_int_or(json, "resample", kBicubic, where);
  if (resample != kBicubic) {
    throw core::UserError(
        core::str(where, ": 'resample' is ", resample, ", expected ", kBicubic, " (bicubic)"));
  }
  ProcessorConfig config;
  config.where = where;
  config.patch_size = core::get_int_or(json, "patch_size", config.patch_size, where, 1, kMaxEdge);
  config.temporal_patch_size =
      core::get_int_or(json, "temporal_patch_size", config.temporal_patch_size, where, 1, kMaxEdge);
  config.merge_size = core::get_int_or(json, "merge_size", config.merge_size, where, 1, kMaxEdge);
  read_size(json, where, config);
  config.mean = read_triple(json, "image_mean", config.mean, where);
  config.std = read_triple(json, "image_std", config.std, where);
  config.rescale_factor = core::get_double_or(json, "rescale_factor", config.rescale_factor, where);
  if (!(config.rescale_factor > 0) || !std::isfinite(config.rescale_factor))
    throw core::UserError(core::str(where, ": 'rescale_factor' must be a positive number"));
  for (const double value : config.std) {
    if (!(value > 0))
      throw core::UserError(
          core::str(where, ": 'image_std' has ", value, ", expected positive numbers"));
  }
  return config;
}

}  // namespace

ProcessorConfig with_user_limits(ProcessorConfig config,
                                 std::optional<int64_t> min_pixels,
                                 std::optional<int64_t> max_pixels,
                                 const std::string& prefix) {
  const auto key = [&](std::string name) {
    if (prefix == "--") std::replace(name.begin(), name.end(), '_', '-');
    return prefix + name;
  };
  const bool is_low_users = min_pixels.has_value(), is_high_users = max_pixels.has_value();
  config.min_pixels = min_pixels.value_or(config.min_pixels);
  config.max_pixels = max_pixels.value_or(config.max_pixels);
  if (config.min_pixels <= config.max_pixels) return config;
  std::string remedy = "change one of them";
  if (!is_low_users)
    remedy = core::str("set ", key("min_pixels"), " to at most ", config.max_pixels);
  if (!is_high_users)
    remedy = core::str("set ", key("max_pixels"), " to at least ", config.min_pixels);
  throw core::UserError(core::str(is_high_users ? key("max_pixels") : "the folder's own max_pixels",
                                  " is ",
                                  config.max_pixels,
                                  ", below ",
                                  is_low_users ? key("min_pixels") : "the folder's own min_pixels",
                                  " = ",
                                  config.min_pixels,
                                  is_low_users && is_high_users ? "" : " (" + config.where + ")",
                                  "; ",
                                  remedy));
}

std::optional<ProcessorConfig> load_processor(const std::filesystem::path& folder) {
  // transformers 5 writes the nested form and prefers it where both files exist.
  if (const auto path = folder / "processor_config.json"; std::filesystem::exists(path)) {
    const std::string where = path.string();
    const Json json = core::parse_json(core::read_file(path), where);
    if (const Json* nested = core::find(json, "image_processor"); nested != nullptr)
      return read_config(*nested, where + ": image_processor");
  }
  if (const auto path = folder / "preprocessor_config.json"; std::filesystem::exists(path))
    return read_config(core::parse_json(core::read_file(path), path.string()), path.string());
  return std::nullopt;
}

}  // namespace sgrpo::image
