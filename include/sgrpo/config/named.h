// A member whose values are names: an enumeration, a Choice, an optional or a list of these.
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "sgrpo/config/choice.h"
#include "sgrpo/core/names.h"

namespace sgrpo::config {

/// Such a member without its type. `texts` are the names it holds: one, or none for null, or a
/// list.
struct NamedMember {
  void* member = nullptr;
  bool is_list = false;
  bool is_optional = false;
  std::vector<std::string> (*known)() = nullptr;
  std::vector<std::string> (*texts)(const void* member) = nullptr;
  /// Takes names out of `known`; a Choice takes any.
  void (*assign)(void* member, const std::vector<std::string>& texts) = nullptr;
  /// Where a number may stand in the place of a name: the number, if it holds one.
  std::optional<double> (*number)(const void* member) = nullptr;
  void (*assign_number)(void* member, double value) = nullptr;
};

/// How one name is read and written; not defined for types that are no names.
template <class T>
struct NameCodec {};

template <core::NamedEnum E>
struct NameCodec<E> {
  static std::vector<std::string> known() { return core::all_names<E>(); }
  static std::string text(E value) { return core::name_of(value); }
  static E value(const std::string& text) { return core::from_name<E>(text).value(); }
};

template <class Registry>
struct NameCodec<Choice<Registry>> {
  static std::vector<std::string> known() { return Registry::names(); }
  static std::string text(const Choice<Registry>& choice) { return choice.name(); }
  static Choice<Registry> value(const std::string& text) { return text; }
};

template <class T>
concept Name = requires {
  NameCodec<T>::known();
};

/// The member behind its names.
template <Name T>
NamedMember named_member(T& member) {
  return {.member = &member,
          .known = &NameCodec<T>::known,
          .texts =
              [](const void* from) {
                return std::vector{NameCodec<T>::text(*static_cast<const T*>(from))};
              },
          .assign =
              [](void* to, const std::vector<std::string>& texts) {
                *static_cast<T*>(to) = NameCodec<T>::value(texts.at(0));
              }};
}

template <Name T>
NamedMember named_member(std::optional<T>& member) {
  using Member = std::optional<T>;
  return {.member = &member,
          .is_optional = true,
          .known = &NameCodec<T>::known,
          .texts =
              [](const void* from) {
                const auto& value = *static_cast<const Member*>(from);
                return value ? std::vector{NameCodec<T>::text(*value)} : std::vector<std::string>{};
              },
          .assign =
              [](void* to, const std::vector<std::string>& texts) {
                auto& value = *static_cast<Member*>(to);
                value.reset();
                if (!texts.empty()) value = NameCodec<T>::value(texts[0]);
              }};
}

template <Name T>
NamedMember named_member(std::vector<T>& member) {
  using Member = std::vector<T>;
  return {.member = &member,
          .is_list = true,
          .known = &NameCodec<T>::known,
          .texts =
              [](const void* from) {
                std::vector<std::string> texts;
                for (const T& value : *static_cast<const Member*>(from))
                  texts.push_back(NameCodec<T>::text(value));
                return texts;
              },
          .assign =
              [](void* to, const std::vector<std::string>& texts) {
                auto& values = *static_cast<Member*>(to);
                values.clear();
                for (const std::string& text : texts) values.push_back(NameCodec<T>::value(text));
              }};
}

}  // namespace sgrpo::config
