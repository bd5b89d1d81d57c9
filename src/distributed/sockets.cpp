#include "distributed/sockets.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"

namespace sgrpo::distributed {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Addresses resolve(const std::string& address, int port, int kind) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = kind;
  const int error = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error == 0) return {found, &::freeaddrinfo};
  throw core::UserError(core::str("MASTER_ADDR is ",
                                  core::printable(address, 100),
                                  ", which ",
                                  host_name(),
                                  " cannot resolve: ",
                                  ::gai_strerror(error)));
}

[[noreturn]] void refuse(const std::string& address, int port, int error) {
  if (error == EADDRINUSE) {
    throw core::UserError(core::str("port ",
                                    port,
                                    " of ",
                                    address,
                                    " is taken by another program, or by another run: choose "
                                    "another MASTER_PORT for all ranks"));
  }
  if (error == EADDRNOTAVAIL) {
    throw core::UserError(core::str("MASTER_ADDR ",
                                    address,
                                    " is no address of ",
                                    host_name(),
                                    ", where rank 0 runs: give the address of rank 0's machine"));
  }
  throw core::UserError(
      core::str("rank 0 cannot listen on ", address, ":", port, ": ", std::strerror(error)));
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "an unnamed host";
}

int bind_to(const std::string& address, int port) {
  const Addresses found = resolve(address, port, SOCK_STREAM);
  int error = 0;
  for (const addrinfo* entry = found.get(); entry != nullptr; entry = entry->ai_next) {
    const int socket = ::socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket < 0) {
      error = errno;
      continue;
    }
    const int yes = 1;  // a run that ended a moment ago leaves the port waiting
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (::bind(socket, entry->ai_addr, entry->ai_addrlen) == 0 && ::listen(socket, 1024) == 0)
      return socket;
    error = errno;
    ::close(socket);
  }
  refuse(address, port, error);
}

std::string own_address_towards(const std::string& address, int port) {
  const Addresses found = resolve(address, port, SOCK_DGRAM);
  for (const addrinfo* entry = found.get(); entry != nullptr; entry = entry->ai_next) {
    const int socket = ::socket(entry->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket < 0) continue;
    sockaddr_storage own{};
    socklen_t size = sizeof(own);
    auto* place = reinterpret_cast<sockaddr*>(&own);
    std::array<char, NI_MAXHOST> text{};
    // Of a datagram socket this sends nothing: the kernel only chooses the way.
    const bool is_known =
        ::connect(socket, entry->ai_addr, entry->ai_addrlen) == 0 &&
        ::getsockname(socket, place, &size) == 0 &&
        ::getnameinfo(place, size, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) == 0;
    ::close(socket);
    if (is_known) return text.data();
  }
  throw core::UserError(
      core::str("no network of ", host_name(), " leads to MASTER_ADDR ", address));
}

}  // namespace sgrpo::distributed
