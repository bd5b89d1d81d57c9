// Addresses and the port that rank 0 listens on.
#pragma once

#include <string>

namespace sgrpo::distributed {

/// A socket bound to this address and port of this machine, and to nothing else: torch's store
/// would listen on every interface. The caller owns it. Throws core::UserError.
int bind_to(const std::string& address, int port);

/// The address by which this machine reaches `address`. Throws core::UserError.
std::string own_address_towards(const std::string& address, int port);

std::string host_name();

}  // namespace sgrpo::distributed
