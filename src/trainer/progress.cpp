#include "trainer/progress.h"

#include <cmath>
#include <type_traits>

#include "sgrpo/core/text.h"

namespace sgrpo::trainer {

core::Json to_json(const StepReport& report) {
  core::Json json = core::Json::object();
  for (const auto& [name, value] : report.values()) json[name] = value;
  return json;
}

StepReport to_report(const core::Json& json) {
  StepReport report;
  for (const auto& [name, value] : json.items())  // null: NaN or infinite
    report.set(name, value.is_number() ? value.get<double>() : std::nan(""));
  return report;
}

core::Json Progress::to_json() const {
  core::Json state = core::Json::object();
  visit_fields(*this, [&](const char* name, const auto& value) {
    using Value = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, StepReport>) {
      state[name] = trainer::to_json(value);
    } else if constexpr (std::is_same_v<Value, std::optional<double>>) {
      state[name] = value ? core::Json(*value) : core::Json(nullptr);
    } else {
      state[name] = value;
    }
  });
  return state;
}

Progress Progress::from_json(const core::Json& state, const std::string& where) {
  Progress progress;
  visit_fields(progress, [&](const char* name, auto& value) {
    using Value = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, StepReport>) {
      value = to_report(core::get_object(state, name, where));
    } else if constexpr (std::is_same_v<Value, std::optional<double>>) {
      if (core::find(state, name) != nullptr) value = core::get_double(state, name, where);
    } else if constexpr (std::is_same_v<Value, bool>) {
      value = core::get_bool_or(state, name, false, where);
    } else {
      value = core::get_int_or(state, name, 0, where);
    }
  });
  return progress;
}

}  // namespace sgrpo::trainer
