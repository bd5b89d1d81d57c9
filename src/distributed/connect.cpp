#include "sgrpo/distributed/connect.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <future>
#include <random>
#include <thread>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "distributed/c10d_communicator.h"
#include "distributed/sockets.h"
#include "distributed/store_text.h"
#include "sgrpo/core/error.h"
#include "sgrpo/core/file.h"
#include "sgrpo/core/interrupt.h"
#include "sgrpo/core/text.h"

namespace sgrpo::distributed {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPoll{50};

std::string random_token() {
  std::random_device device;
  std::string token;
  for (int i = 0; i < 8; ++i) {
    constexpr const char* kDigits = "0123456789abcdef";
    uint32_t word = device();
    for (int digit = 0; digit < 4; ++digit, word >>= 4) token += kDigits[word & 15];
  }
  return token;
}

/// Whether `condition` holds before the patience ends.
template <class Condition>
bool wait_for(std::chrono::milliseconds patience, Condition&& condition) {
  const auto end = Clock::now() + patience;
  while (!condition()) {
    if (core::stop_requested())
      throw core::Interrupted("stopped by a signal while waiting for the other ranks");
    if (Clock::now() >= end) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

std::string seconds_of(std::chrono::milliseconds time) {
  return core::str(static_cast<double>(time.count()) / 1000.0, " s");
}

class Door {
 public:
  Door(const Environment& environment, const Meeting& meeting)
      : environment_(environment), meeting_(meeting) {}

  /// Opens the store, as its server on rank 0.
  void open() {
    if (environment_.rank == 0) {
      nonce_ = random_token();
      const fs::path file = token_file();
      fs::create_directories(file.parent_path());
      const int socket = bind_to(environment_.address, environment_.port);
      write_token(file);
      tcp_ = make_tcp(socket);
      prefix_ = environment_.token.empty() ? nonce_ : environment_.token;
      put(*store(), "nonce", nonce_);
      return;
    }
    tcp_ = make_tcp(std::nullopt);
    find_prefix();
  }

  /// Keys of this run alone.
  Store store() const { return c10::make_intrusive<c10d::PrefixStore>(prefix_, tcp_); }

  /// A link of its own to the same store.
  Store link() const {
    return c10::make_intrusive<c10d::PrefixStore>(prefix_, connect_tcp(options()));
  }

 private:
  fs::path token_file() const { return meeting_.folder / "run" / "token"; }

  void write_token(const fs::path& file) const {
    fs::remove(file);
    const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const auto size = static_cast<ssize_t>(nonce_.size());
    const bool is_written =
        descriptor >= 0 && ::write(descriptor, nonce_.data(), nonce_.size()) == size;
    const std::string reason = is_written ? "" : core::write_reason(errno);
    if (descriptor >= 0) ::close(descriptor);
    if (!is_written) throw core::RunError(core::str("cannot write ", file.string(), ": ", reason));
  }

  c10d::TCPStoreOptions options() const {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(environment_.port);
    options.waitWorkers = false;
    options.timeout = meeting_.patience;
    return options;
  }

  /// Connecting, with an end even where a stranger answers on the port and says nothing.
  Store connect_tcp(const c10d::TCPStoreOptions& options) const {
    auto made = std::make_shared<std::promise<Store>>();
    std::future<Store> result = made->get_future();
    std::thread([made, options, address = environment_.address] {
      try {
        made->set_value(c10::make_intrusive<c10d::TCPStore>(address, options));
      } catch (...) {
        made->set_exception(std::current_exception());
      }
    }).detach();
    const bool is_there = wait_for(meeting_.patience + std::chrono::seconds(2), [&] {
      return result.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    });
    std::string reason = "no answer";
    if (is_there) {
      try {
        return result.get();
      } catch (const std::exception&) {
        reason = "nobody of this run listens there";
      }
    }
    throw core::UserError(core::str("rank ",
                                    environment_.rank,
                                    " on ",
                                    host_name(),
                                    " did not reach rank 0 at ",
                                    environment_.address,
                                    ":",
                                    environment_.port,
                                    " within ",
                                    seconds_of(meeting_.patience),
                                    " (",
                                    reason,
                                    "): see what rank 0 says; else the address is wrong, or the "
                                    "port is closed or another program's (MASTER_ADDR, "
                                    "MASTER_PORT)"));
  }

  Store make_tcp(std::optional<int> socket) const {
    c10d::TCPStoreOptions given = options();
    given.isServer = socket.has_value();
    given.masterListenFd = socket;
    return connect_tcp(given);
  }

  /// The folder shows what rank 0 wrote, and the store says the same.
  void find_prefix() {
    const bool is_found = wait_for(meeting_.patience, [&] {
      std::error_code error;
      const std::string written =
          fs::exists(token_file(), error) ? core::read_file(token_file()) : "";
      prefix_ = environment_.token.empty() ? written : environment_.token;
      return !written.empty() && has(*store(), "nonce") && get(*store(), "nonce") == written;
    });
    if (is_found) return;
    throw core::UserError(core::str("rank ",
                                    environment_.rank,
                                    " on ",
                                    host_name(),
                                    " does not find in ",
                                    token_file().string(),
                                    " what rank 0 at ",
                                    environment_.address,
                                    ":",
                                    environment_.port,
                                    " wrote there: output_dir must be one folder that all ranks "
                                    "share, and the port this run's own"));
  }

  const Environment& environment_;
  const Meeting& meeting_;
  std::string nonce_, prefix_;
  Store tcp_;
};

/// What every rank says of itself, once all are here.
std::vector<core::Json> gather_settings(const Store& store,
                                        const Environment& environment,
                                        const Meeting& meeting) {
  const auto key = [](int64_t rank) { return core::str("here/", rank); };
  const core::Json own = {{"host", host_name()}, {"settings", meeting.settings}};
  put(*store, key(environment.rank), core::dump_ascii(own));
  std::vector<std::string> missing;
  const bool are_here = wait_for(meeting.patience, [&] {
    missing.clear();
    for (int64_t rank = 0; rank < environment.size; ++rank) {
      if (!has(*store, key(rank))) missing.push_back(core::str(rank));
    }
    return missing.empty();
  });
  if (!are_here) {
    throw core::UserError(core::str("rank",
                                    missing.size() == 1 ? " " : "s ",
                                    core::join(missing, ", "),
                                    " of ",
                                    environment.size,
                                    " did not come within ",
                                    seconds_of(meeting.patience),
                                    ": see what they say, and that all ",
                                    environment.size,
                                    " were started with the same MASTER_ADDR and MASTER_PORT"));
  }
  std::vector<core::Json> all;
  for (int64_t rank = 0; rank < environment.size; ++rank)
    all.push_back(core::parse_json(get(*store, key(rank)), "the run's store"));
  return all;
}

}  // namespace

void check_same_settings(const std::vector<core::Json>& settings,
                         const std::vector<std::string>& names) {
  const auto shown = [](const core::Json& object, const core::Json::const_iterator& value) {
    return value == object.end() ? std::string("nothing") : core::printable(value->dump(), 120);
  };
  for (size_t rank = 1; rank < settings.size(); ++rank) {
    if (settings[rank] == settings[0]) continue;
    core::Json keys = settings[0];
    keys.update(settings[rank]);
    for (const auto& [key, unused] : keys.items()) {
      const auto first = settings[0].find(key), other = settings[rank].find(key);
      const bool both = first != settings[0].end() && other != settings[rank].end();
      if (both && *first == *other) continue;
      throw core::UserError(core::str(key,
                                      " is ",
                                      shown(settings[rank], other),
                                      " on ",
                                      names[rank],
                                      ", but ",
                                      shown(settings[0], first),
                                      " on ",
                                      names[0],
                                      ": all ranks must be given the same"));
    }
  }
}

std::unique_ptr<Communicator> connect(const Environment& environment, const Meeting& meeting) {
  if (environment.size == 1) return make_local();
  Door door(environment, meeting);
  door.open();
  const Store store = door.store();
  std::vector<core::Json> settings;
  std::vector<std::string> names;
  for (const core::Json& place : gather_settings(store, environment, meeting)) {
    names.push_back(
        core::str("rank ", names.size(), " (", place.at("host").get<std::string>(), ")"));
    settings.push_back(place.at("settings"));
  }
  check_same_settings(settings, names);
  auto liveness = std::make_unique<Liveness>(door.link(),
                                             environment.rank,
                                             environment.size,
                                             Liveness::Limits{.timeout_s = meeting.timeout_s});
  Backend host = make_gloo(c10::make_intrusive<c10d::PrefixStore>("gloo", store),
                           environment.rank,
                           environment.size,
                           own_address_towards(environment.address, environment.port));
  Backend device;
  if (meeting.device) {
    device = DeviceBackendRegistry::get("backend of collectives", "nccl")(
        c10::make_intrusive<c10d::PrefixStore>("nccl", store),
        environment.rank,
        environment.size,
        *meeting.device);
  }
  return make_c10d(std::move(host), std::move(device), std::move(liveness));
}

}  // namespace sgrpo::distributed
