// metrics.jsonl, the TensorBoard file, completions, timers.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <thread>

#include "sgrpo/core/file.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/log.h"
#include "sgrpo/telemetry/telemetry.h"
#include "telemetry/crc32c.h"
#include "telemetry/event_file.h"
#include "testing/file_limit.h"
#include "testing/scratch.h"

namespace sgrpo::telemetry {
namespace {

namespace fs = std::filesystem;

StepReport report_of(double reward) {
  StepReport report;
  report.set("reward", reward);
  report.set("num_tokens", 123456789.0);
  return report;
}

TEST(MetricsWriter, writes_shortest_numbers_integers_and_null) {
  const testing::Scratch folder;
  StepReport report;
  report.set("step", 99.0);
  report.set("reward", 0.1);
  report.set("kl", 1.0 / 3.0);
  report.set("tokens", 100000.0);
  report.set("lr", 1e-6);
  report.set("nan", std::nan(""));
  report.set("inf", -std::numeric_limits<double>::infinity());
  report.set("val/caf\xC3\xA9", -0.0);
  MetricsWriter(folder.path()).write(7, report);
  EXPECT_EQ(core::read_file(folder.path() / "metrics.jsonl"),
            "{\"step\": 7, \"reward\": 0.1, \"kl\": 0.3333333333333333, \"tokens\": 100000, "
            "\"lr\": 1e-06, \"nan\": null, \"inf\": null, \"val/caf\\u00e9\": -0}\n");
}

TEST(MetricsWriter, numbers_read_back_bit_for_bit) {
  const testing::Scratch folder;
  const std::vector<double> values = {5e-324,
                                      1.7976931348623157e308,
                                      0.1 + 0.2,
                                      9007199254740993.0,
                                      -1e15,
                                      123456.789,
                                      2.2250738585072014e-308};
  StepReport report;
  for (size_t i = 0; i < values.size(); ++i) report.set("v" + std::to_string(i), values[i]);
  MetricsWriter(folder.path()).write(1, report);
  const core::Json row = core::parse_json(core::read_file(folder.path() / "metrics.jsonl"), "row");
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(core::get_double(row, "v" + std::to_string(i), "row"), values[i]) << i;
  }
}

TEST(MetricsWriter, resume_cuts_back_to_the_committed_step) {
  const testing::Scratch folder;
  const fs::path path = folder.path() / "metrics.jsonl";
  {
    MetricsWriter writer(folder.path());
    for (int step = 1; step <= 5; ++step) writer.write(step, report_of(step / 8.0));
  }
  const std::string five = core::read_file(path);
  core::write_file_atomic(path, five + "{\"step\": 6, \"rew");  // killed within a write
  {
    MetricsWriter writer(folder.path(), 3);
    writer.write(4, report_of(0.5));
    writer.write(5, report_of(0.625));
  }
  EXPECT_EQ(core::read_file(path), five);
}

TEST(MetricsWriter, resume_keeps_each_step_once_and_names_bad_rows) {
  const testing::Scratch folder;
  const fs::path path = folder.path() / "metrics.jsonl";
  core::write_file_atomic(path,
                          "{\"step\": 1}\nrubbish\n{\"step\": 2}\n{\"step\": 2}\n{\"step\": 3}");
  std::string warning;
  core::set_log_sink([&](core::LogLevel, const std::string& text) { warning += text; });
  { const MetricsWriter writer(folder.path(), 3); }
  core::set_log_sink(nullptr);
  EXPECT_EQ(core::read_file(path), "{\"step\": 1}\n{\"step\": 2}\n");
  EXPECT_EQ(warning, path.string() + ":2: not a row of metrics, dropped");
}

TEST(MetricsWriter, resume_names_rows_that_are_missing) {
  const testing::Scratch folder;
  const fs::path path = folder.path() / "metrics.jsonl";
  const auto warnings = [&](const std::string& text, int64_t committed_step) {
    core::write_file_atomic(path, text);
    std::string warning;
    core::set_log_sink([&](core::LogLevel, const std::string& line) { warning += line + "\n"; });
    { const MetricsWriter writer(folder.path(), committed_step); }
    core::set_log_sink(nullptr);
    return warning;
  };
  const std::string name = path.string() + ": ";
  EXPECT_EQ(warnings("{\"step\": 0}\n{\"step\": 1}\n", 2), "") << "its row is in the checkpoint";
  EXPECT_EQ(warnings("{\"step\": 1}\n{\"step\": 4}\n", 7),
            name + "the rows of steps 2 to 3 are missing\n" + name +
                "the rows of steps 5 to 6 are missing\n");
  EXPECT_EQ(warnings("", 3), name + "the rows of steps 1 to 2 are missing\n");
  fs::remove(path);
  std::string warning;
  core::set_log_sink([&](core::LogLevel, const std::string& line) { warning += line; });
  { const MetricsWriter writer(folder.path(), 3); }
  core::set_log_sink(nullptr);
  EXPECT_EQ(warning,
            name.substr(0, name.size() - 2) + " is missing: the rows before step 3 are lost");
}

TEST(MetricsWriter, lines_that_cannot_be_written_are_told_and_come_later) {
  const testing::Scratch folder;
  const testing::LogCapture log;
  {
    MetricsWriter writer(folder.path());
    writer.write(1, report_of(1.0));
    {
      const testing::FileLimit full(8);
      writer.write(2, report_of(0.5));
      writer.sync();
      writer.write(3, report_of(0.25));
    }
    EXPECT_EQ(testing::read_jsonl(folder / "metrics.jsonl").size(), 1u);
    writer.write(4, report_of(0.125));
  }
  std::vector<int64_t> steps;
  for (const core::Json& row : testing::read_jsonl(folder / "metrics.jsonl"))
    steps.push_back(row.at("step").get<int64_t>());
  EXPECT_EQ(steps, (std::vector<int64_t>{1, 2, 3, 4}));
  const std::string text = folder.shorten(log.text());
  const std::string told = "cannot append to metrics.jsonl: File too large";
  EXPECT_NE(text.find(told), std::string::npos) << text;
  EXPECT_EQ(text.find(told, text.find(told) + 1), std::string::npos) << "told once";
  EXPECT_NE(text.find("metrics.jsonl is complete again"), std::string::npos);
}

TEST(MetricsWriter, new_start_empties_the_file_and_removes_old_events) {
  const testing::Scratch folder;
  MetricsWriter(folder.path()).write(1, report_of(1.0));
  MetricsWriter(folder.path()).write(1, report_of(0.5));
  size_t events = 0;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    events += is_event_file(entry.path().filename().string()) ? 1 : 0;
  }
  EXPECT_EQ(events, 1u);
  EXPECT_EQ(core::read_file(folder.path() / "metrics.jsonl"),
            "{\"step\": 1, \"reward\": 0.5, \"num_tokens\": 123456789}\n");
}

TEST(Crc32c, known_vectors) {
  // RFC 3720 B.4 and the check value of the CRC catalogue.
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32c(""), 0u);
}

/// A reader of what the writer produces, apart from its encoder.
class Reader {
 public:
  explicit Reader(std::string bytes) : bytes_(std::move(bytes)) {}
  bool done() const { return at_ == bytes_.size(); }
  template <class T>
  T raw() {
    T value{};
    const std::string piece = take(sizeof(T));
    std::memcpy(&value, piece.data(), sizeof(T));
    return value;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
  }
  std::string take(size_t size) {
    if (bytes_.size() - at_ < size) throw std::runtime_error("record ends early");
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  std::string chunk() { return take(varint()); }

 private:
  std::string bytes_;
  size_t at_ = 0;
};

std::vector<std::string> records_of(const std::string& bytes) {
  std::vector<std::string> records;
  for (Reader reader(bytes); !reader.done();) {
    const std::string head = reader.take(8);
    EXPECT_EQ(reader.raw<uint32_t>(), masked_crc32c(head));
    uint64_t size = 0;
    std::memcpy(&size, head.data(), 8);
    records.push_back(reader.take(size));
    EXPECT_EQ(reader.raw<uint32_t>(), masked_crc32c(records.back()));
  }
  return records;
}

TEST(EventFile, records_hold_version_and_scalars) {
  const testing::Scratch folder;
  EventFile file(folder.path());
  file.write(300, {{"reward", 0.25}, {"val/a/pass@1", -2.0}});
  const std::string name = file.path().filename().string();
  EXPECT_TRUE(is_event_file(name)) << name;
  const auto records = records_of(core::read_file(file.path()));
  ASSERT_EQ(records.size(), 2u);
  Reader version(records[0]);
  EXPECT_EQ(version.varint(), 0x09u);  // wall_time = 1, fixed64
  EXPECT_GT(version.raw<double>(), 1.6e9);
  EXPECT_EQ(version.varint(), 0x1Au);  // file_version = 3, bytes
  EXPECT_EQ(version.chunk(), "brain.Event:2");
  EXPECT_TRUE(version.done());
  Reader event(records[1]);
  EXPECT_EQ(event.varint(), 0x09u);
  event.raw<double>();
  EXPECT_EQ(event.varint(), 0x10u);  // step = 2, varint
  EXPECT_EQ(event.varint(), 300u);
  EXPECT_EQ(event.varint(), 0x2Au);  // summary = 5, bytes
  Reader summary(event.chunk());
  EXPECT_TRUE(event.done());
  for (const auto& [tag, number] :
       {std::pair<std::string, float>{"reward", 0.25f}, {"val/a/pass@1", -2.0f}}) {
    EXPECT_EQ(summary.varint(), 0x0Au);
    Reader value(summary.chunk());
    EXPECT_EQ(value.varint(), 0x0Au);
    EXPECT_EQ(value.chunk(), tag);
    EXPECT_EQ(value.varint(), 0x15u);  // simple_value = 2, fixed32
    EXPECT_EQ(value.raw<float>(), number);
    EXPECT_TRUE(value.done());
  }
  EXPECT_TRUE(summary.done());
}

TEST(EventFile, resumed_run_gets_its_own_file_with_a_restart_mark) {
  const testing::Scratch folder;
  const EventFile first(folder.path());
  const EventFile second(folder.path(), 41);
  EXPECT_NE(first.path(), second.path());
  const auto records = records_of(core::read_file(second.path()));
  ASSERT_EQ(records.size(), 2u);
  // wall_time (9 bytes), step = 41, session_log = 7 {status = 1: START}
  EXPECT_EQ(records[1].substr(9), std::string("\x10\x29\x3A\x02\x08\x01"));
}

TEST(Completions, file_name_has_six_digits_and_rows_are_ascii) {
  const testing::Scratch folder;
  CompletionsWriter(folder.path())
      .write(12, {core::Json{{"completion", "caf\xC3\xA9"}}, {{"step", 12}}});
  EXPECT_EQ(core::read_file(folder.path() / "completions" / "step-000012.jsonl"),
            "{\"completion\":\"caf\\u00e9\"}\n{\"step\":12}\n");
}

TEST(Completions, files_that_cannot_be_written_come_with_the_next_ones) {
  const testing::Scratch folder;
  const testing::LogCapture log;
  CompletionsWriter writer(folder.path());
  {
    const testing::FileLimit full(1);
    for (int64_t step = 1; step <= 9; ++step) writer.write(step, {core::Json{{"step", step}}});
  }
  EXPECT_NE(log.text().find("the completions of step 1 are lost"), std::string::npos);
  EXPECT_EQ(log.text().find("the completions of step 2 are lost"), std::string::npos);
  writer.write(10, {core::Json{{"step", 10}}});
  EXPECT_FALSE(fs::exists(folder / "completions/step-000001.jsonl"));
  for (const char* step : {"02", "09", "10"}) {
    EXPECT_TRUE(fs::exists(folder / core::str("completions/step-0000", step, ".jsonl"))) << step;
  }
}

TEST(Completions, files_of_later_steps_are_removed) {
  const testing::Scratch folder;
  for (const int64_t step : {1, 2, 3, 1000000}) CompletionsWriter(folder.path()).write(step, {});
  core::write_file_atomic(folder.path() / "completions" / "step-5.jsonl", "");  // not ours
  cut_completions(folder.path(), 2);
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path() / "completions"))
    names.insert(entry.path().filename());
  EXPECT_EQ(names,
            (std::set<std::string>{"step-000001.jsonl", "step-000002.jsonl", "step-5.jsonl"}));
  EXPECT_NO_THROW(cut_completions(folder.path() / "none", 0));
}

TEST(PhaseTimer, phases_sum_to_the_time_between_them) {
  using namespace std::chrono_literals;
  PhaseTimer timer;
  timer.begin("generate");
  std::this_thread::sleep_for(20ms);
  timer.begin("update");
  std::this_thread::sleep_for(5ms);
  timer.begin("generate");
  timer.end();
  const double total = timer.total();
  ASSERT_EQ(timer.seconds().size(), 2u);
  EXPECT_GE(timer.seconds().at("generate"), 0.020);
  EXPECT_GE(timer.seconds().at("update"), 0.005);
  const double sum = timer.seconds().at("generate") + timer.seconds().at("update");
  EXPECT_LE(sum, total);
  EXPECT_NEAR(sum, total, 0.05 * total + 1e-3);
  timer.reset();
  EXPECT_TRUE(timer.seconds().empty());
}

TEST(Memory, resident_size_grows_with_touched_memory) {
  const double before = host_rss_gb();
  EXPECT_GT(before, 0.0);
  std::vector<char> block(size_t{256} << 20, 1);
  EXPECT_NEAR(host_rss_gb() - before, 0.25, 0.02) << static_cast<int>(block.back());
}

}  // namespace
}  // namespace sgrpo::telemetry
