#include "testing/emulation/memory.h"

#include <algorithm>
#include <sstream>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace sgrpo::testing::emulation {
namespace {

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

std::string whom(const Moment& moment) {
  return text("block ", moment.thread / kBlockThreads, " thread ", moment.thread % kBlockThreads);
}

/// The other readers that may not be over yet.
OtherReaders others_at(const Cell& cell, const Moment& now) {
  if (cell.read.launch != now.launch) return OtherReaders::kNone;
  if (cell.read.same_block(now) && cell.read.barriers != now.barriers) return OtherReaders::kNone;
  const bool met = cell.read.same_warp(now) && cell.read.meetings != now.meetings;
  return met && cell.others == OtherReaders::kOfTheWarp ? OtherReaders::kNone : cell.others;
}

/// Records an access to an element; what it collides with, if anything.
std::optional<std::string> collide(Cell& cell, bool is_write, const Moment& now) {
  if (!now.follows(cell.written))
    return text("without a barrier since ", whom(cell.written), " wrote it");
  OtherReaders others = others_at(cell, now);
  if (is_write && (others != OtherReaders::kNone || !now.follows(cell.read)))
    return text("without a barrier since ", whom(cell.read), " read it");
  if (is_write) {
    cell.written = now;
    return std::nullopt;
  }
  if (!now.follows(cell.read))
    others =
        std::max(others, cell.read.same_warp(now) ? OtherReaders::kOfTheWarp : OtherReaders::kAny);
  cell.others = others;
  cell.read = now;
  return std::nullopt;
}

}  // namespace

void Memory::remove_shared() {
  std::erase_if(regions_, [](const auto& entry) { return entry.second.is_shared; });
}

std::optional<std::string> Memory::check(const Access& access, const Moment& now) {
  const char* verb = access.is_write ? "writes " : "reads ";
  auto next = regions_.upper_bound(access.begin);
  const bool exists =
      next != regions_.begin() && access.begin + access.bytes <= std::prev(next)->second.end;
  if (!exists) return text(verb, access.bytes, " bytes ", place(access));
  if (access.must_align && access.begin % access.bytes != 0)
    return text(verb, access.bytes, " bytes ", place(access), ", which is not aligned to them");
  Region& region = std::prev(next)->second;
  if (counts_ && !region.is_shared) count(access, now.thread);
  const auto collision = touch(region, access, now);
  if (!collision) return std::nullopt;
  return text(verb, access.bytes, " bytes ", place(access), " ", *collision);
}

std::string Memory::place(const Access& access) const {
  auto next = regions_.upper_bound(access.begin);
  constexpr uintptr_t kNear = 4096;
  if (next != regions_.begin() && access.begin < std::prev(next)->second.end + kNear) {
    const Region& region = std::prev(next)->second;
    return text("at byte ",
                access.begin - region.begin,
                " of ",
                region.is_shared ? "shared memory" : "a buffer",
                " of ",
                region.end - region.begin);
  }
  if (next != regions_.end() && next->first - access.begin <= kNear)
    return text(next->first - access.begin, " bytes before a buffer");
  return "at an address that is no device memory";
}

std::optional<std::string> Memory::touch(Region& region, const Access& access, const Moment& now) {
  const size_t first = (access.begin - region.begin) / region.element;
  const size_t last = (access.begin + access.bytes - 1 - region.begin) / region.element;
  for (size_t i = first; i <= last; ++i) {
    Cell& cell = region.cells[i];
    if (region.is_shared && !access.is_write && cell.written.launch == 0)
      return "before a thread of the block has written it";
    if (auto collision = collide(cell, access.is_write, now)) return collision;
  }
  return std::nullopt;
}

void Memory::count(const Access& access, uint32_t thread) {
  (access.is_write ? traffic_.written_bytes : traffic_.read_bytes) +=
      static_cast<int64_t>(access.bytes);
  const uint32_t turn = turns_[{thread, access.instruction}]++;
  const uintptr_t last = (access.begin + access.bytes - 1) / 32;
  for (uintptr_t sector = access.begin / 32; sector <= last; ++sector)
    touches_.push_back({thread / kWarp, access.instruction, turn, sector});
}

void Memory::finish_block() {
  std::sort(touches_.begin(), touches_.end());
  traffic_.sectors += std::unique(touches_.begin(), touches_.end()) - touches_.begin();
  touches_.clear();
  turns_.clear();
}

void Memory::start_counting() {
  counts_ = true;
  traffic_ = {};
}

Traffic Memory::stop_counting() {
  counts_ = false;
  return traffic_;
}

Memory& memory() {
  static Memory all;
  return all;
}

#ifdef __SANITIZE_ADDRESS__
void poison(void* data, size_t bytes) { ASAN_POISON_MEMORY_REGION(data, bytes); }
void unpoison(void* data, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(data, bytes); }
#else
void poison(void* /*data*/, size_t /*bytes*/) {}
void unpoison(void* /*data*/, size_t /*bytes*/) {}
#endif

}  // namespace sgrpo::testing::emulation
