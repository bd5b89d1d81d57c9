// A number as an option, or a name in its place that says where the number comes from.
#pragma once

#include <optional>

#include "sgrpo/config/named.h"

namespace sgrpo::config {

/// `injection.gt_reward: 1.0`, or `judged`.
template <core::NamedEnum E>
struct NumberOr {
  double number = 0.0;  // where there is no name
  std::optional<E> name;

  NumberOr() = default;
  NumberOr(double value) : number(value) {}  // NOLINT: an option's default is a literal
  NumberOr(E value) : name(value) {}         // NOLINT

  bool is(E value) const { return name == value; }
};

/// The member behind its names and its number.
template <core::NamedEnum E>
NamedMember named_member(NumberOr<E>& member) {
  using Member = NumberOr<E>;
  return {.member = &member,
          .known = &core::all_names<E>,
          .texts =
              [](const void* from) {
                const auto& value = *static_cast<const Member*>(from);
                return value.name ? std::vector<std::string>{core::name_of(*value.name)}
                                  : std::vector<std::string>{};
              },
          .assign =
              [](void* to, const std::vector<std::string>& texts) {
                *static_cast<Member*>(to) = core::from_name<E>(texts.at(0)).value();
              },
          .number =
              [](const void* from) {
                const auto& value = *static_cast<const Member*>(from);
                return value.name ? std::nullopt : std::optional(value.number);
              },
          .assign_number = [](void* to, double value) { *static_cast<Member*>(to) = value; }};
}

}  // namespace sgrpo::config
