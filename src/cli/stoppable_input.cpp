#include "cli/stoppable_input.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "sgrpo/core/interrupt.h"

namespace sgrpo::cli {

StoppableInput::int_type StoppableInput::underflow() {
  constexpr int kSlice_ms = 100;  // how late a stop may be seen
  while (!core::stop_requested()) {
    pollfd event{descriptor_, POLLIN, 0};
    const int ready = ::poll(&event, 1, kSlice_ms);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;  // a read would go on waiting
    const ssize_t count = ::read(descriptor_, buffer_.data(), buffer_.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) break;
    setg(buffer_.data(), buffer_.data(), buffer_.data() + count);
    return traits_type::to_int_type(buffer_.front());
  }
  return traits_type::eof();
}

}  // namespace sgrpo::cli
