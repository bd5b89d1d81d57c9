#include "telemetry/event_file.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstring>

#include "sgrpo/core/error.h"
#include "sgrpo/core/text.h"
#include "telemetry/crc32c.h"

static_assert(std::endian::native == std::endian::little, "records are little-endian");

namespace sgrpo::telemetry {
namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.", kSuffix = ".sgrpo";

// Field numbers of tensorflow/core/util/event.proto and framework/summary.proto.
constexpr int kEventWallTime = 1, kEventStep = 2, kEventFileVersion = 3, kEventSummary = 5,
              kEventSessionLog = 7, kSummaryValue = 1, kValueTag = 1, kValueSimple = 2,
              kSessionStatus = 1;
constexpr int kSessionStart = 1;
enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

template <class T>
void put_raw(std::string& out, T value) {
  std::array<char, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &value, sizeof(T));
  out.append(bytes.data(), bytes.size());
}

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7F));
  out += static_cast<char>(value);
}

void put_key(std::string& out, int field, WireType type) {
  put_varint(out, static_cast<uint64_t>(field << 3 | type));
}

void put_int(std::string& out, int field, int64_t value) {
  put_key(out, field, kVarint);
  put_varint(out, static_cast<uint64_t>(value));
}

void put_double(std::string& out, int field, double value) {
  put_key(out, field, kFixed64);
  put_raw(out, value);
}

void put_float(std::string& out, int field, float value) {
  put_key(out, field, kFixed32);
  put_raw(out, value);
}

void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_key(out, field, kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

std::string version_event() {
  std::string event;
  put_double(event, kEventWallTime, now());
  put_bytes(event, kEventFileVersion, "brain.Event:2");
  return event;
}

std::string restart_event(int64_t first_step) {
  std::string status, event;
  put_int(status, kSessionStatus, kSessionStart);
  put_double(event, kEventWallTime, now());
  put_int(event, kEventStep, first_step);
  put_bytes(event, kEventSessionLog, status);
  return event;
}

/// The first free name: a run resumed within a second must not share its predecessor's file.
std::filesystem::path free_path(const std::filesystem::path& folder) {
  const std::string host = host_name();
  for (auto seconds = static_cast<int64_t>(now());; ++seconds) {
    const auto path = folder / core::str(kPrefix, seconds, ".", host, kSuffix);
    if (!std::filesystem::exists(path)) return path;
  }
}

}  // namespace

std::string tfrecord(std::string_view data) {
  std::string record;
  record.reserve(data.size() + 16);
  put_raw(record, static_cast<uint64_t>(data.size()));
  put_raw(record, masked_crc32c(record));
  record += data;
  put_raw(record, masked_crc32c(data));
  return record;
}

std::string scalar_event(double wall_time,
                         int64_t step,
                         const std::vector<std::pair<std::string, double>>& values) {
  std::string summary;
  for (const auto& [name, number] : values) {
    std::string value;
    put_bytes(value, kValueTag, name);
    put_float(value, kValueSimple, static_cast<float>(number));
    put_bytes(summary, kSummaryValue, value);
  }
  std::string event;
  put_double(event, kEventWallTime, wall_time);
  put_int(event, kEventStep, step);
  put_bytes(event, kEventSummary, summary);
  return event;
}

EventFile::EventFile(const std::filesystem::path& folder, int64_t resume_step)
    : path_(free_path(folder)),
      file_(std::make_unique<PatientFile>(path_, core::AppendFile::Open::kNew)) {
  file_->append(tfrecord(version_event()));
  if (resume_step >= 0) file_->append(tfrecord(restart_event(resume_step)));
}

void EventFile::write(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  file_->append(tfrecord(scalar_event(now(), step, values)));
}

bool is_event_file(std::string_view name) {
  return core::starts_with(name, kPrefix) && name.size() > kSuffix.size() &&
         name.substr(name.size() - kSuffix.size()) == kSuffix;
}

}  // namespace sgrpo::telemetry
