// A struct with visit_fields <-> a tree of nodes, YAML text, JSON, a list of differences.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "sgrpo/config/config.h"
#include "sgrpo/config/fields.h"
#include "sgrpo/config/named.h"
#include "sgrpo/core/json.h"

namespace sgrpo::config {

/// The member behind a field, by its type.
using FieldPointer = std::variant<bool*,
                                  int64_t*,
                                  double*,
                                  std::string*,
                                  std::optional<bool>*,
                                  std::optional<int64_t>*,
                                  std::optional<double>*,
                                  std::optional<std::string>*,
                                  std::vector<bool>*,
                                  std::vector<int64_t>*,
                                  std::vector<double>*,
                                  std::vector<std::string>*,
                                  std::map<std::string, std::string>*,
                                  core::Json*,
                                  NamedMember>;

/// One field of a struct: where it lies in the configuration, and in memory.
struct Field {
  std::string path;  // "rollout.group_size"
  FieldPointer member;
  FieldInfo info;
};

/// The visitor that lists a struct's fields with their full paths.
class FieldCollector {
 public:
  /// Called by visit_fields for every field.
  template <class T>
  void operator()(const char* name, T& member, FieldInfo info) {
    if constexpr (requires { named_member(member); }) {
      fields_.push_back({prefix_ + name, named_member(member), std::move(info)});
    } else {
      fields_.push_back({prefix_ + name, &member, std::move(info)});
    }
  }

  /// Called by visit_fields for every nested section.
  template <class Section>
  void section(const char* name, Section& member) {
    const std::string outer = std::exchange(prefix_, prefix_ + name + ".");
    member.visit_fields(*this);
    prefix_ = outer;
  }

  std::vector<Field> take() { return std::move(fields_); }

 private:
  std::string prefix_;
  std::vector<Field> fields_;
};

/// Every field of `config`, in the order of printing; the pointers live as long as `config`.
template <class Config>
std::vector<Field> fields_of(Config& config) {
  FieldCollector collector;
  config.visit_fields(collector);
  return collector.take();
}

// The work, once for all structs. `defaults` are the fields of a default-constructed struct.
bool is_unset(const Field& field);  // empty text or null, for required fields
void bind_fields(const Node& root,
                 const std::vector<Field>& fields,
                 const ForeignKeys& foreign = {});
void require_fields(const std::vector<Field>& fields, const std::vector<std::string>& paths);
std::string print_yaml(const std::vector<Field>& fields, const std::vector<Field>* defaults);
core::Json print_json(const std::vector<Field>& fields);
std::vector<std::string> list_differences(const std::vector<Field>& fields,
                                          const std::vector<Field>& defaults);
std::vector<FieldLine> describe_fields(const std::vector<Field>& fields);

/// Sets the fields that the tree names and leaves the others alone. Throws ConfigError: unknown key
/// (with what `foreign` knows about it, else the nearest one), wrong type, value out of range or
/// not among the choices, a key given twice.
template <class Config>
void bind(const Node& root, Config& config, const ForeignKeys& foreign = {}) {
  bind_fields(root, fields_of(config), foreign);
}

/// Throws ConfigError "output_dir is required: ..." for the first of `paths` that was not given.
template <class Config>
void require(const Config& config, const std::vector<std::string>& paths) {
  Config copy = config;
  require_fields(fields_of(copy), paths);
}

/// The effective configuration as YAML that parses back to the same struct.
template <class Config>
std::string to_yaml(const Config& config) {
  Config copy = config;
  return print_yaml(fields_of(copy), nullptr);
}

/// The same, and every line that differs from the defaults says so: `lr: 0.1  # default 1e-06`.
template <class Config>
std::string to_annotated_yaml(const Config& config) {
  Config copy = config, fresh;
  const std::vector<Field> defaults = fields_of(fresh);
  return print_yaml(fields_of(copy), &defaults);
}

/// The effective configuration as one nested JSON object.
template <class Config>
core::Json to_json(const Config& config) {
  Config copy = config;
  return print_json(fields_of(copy));
}

/// Lines "rollout.group_size: 4 (default 8)", in the order of printing.
template <class Config>
std::vector<std::string> differences(const Config& config) {
  Config copy = config, fresh;
  return list_differences(fields_of(copy), fields_of(fresh));
}

/// Every key with type, default, range, unit and help.
template <class Config>
std::vector<FieldLine> list_fields() {
  Config fresh;
  return describe_fields(fields_of(fresh));
}

}  // namespace sgrpo::config
