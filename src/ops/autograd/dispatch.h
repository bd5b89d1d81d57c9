// What every backward here shares: it is an op of its own, found by name, and has no derivative.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

namespace sgrpo::ops {

/// A registered op, to be called under its type.
template <class Schema>
c10::TypedOperatorHandle<Schema> find_op(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Schema>();
}

/// At the start of a backward. Throws: c10::NotImplementedError under create_graph.
inline void refuse_second_derivative(const char* op) {
  TORCH_CHECK_NOT_IMPLEMENTED(!at::GradMode::is_enabled(),
                              op,
                              " has no second derivative: backward with create_graph is refused");
}

}  // namespace sgrpo::ops
