// The training stream: order, mixtures, replacement, limits, prefetch.
#include "sgrpo/data/stream.h"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <set>
#include <thread>

#include <ATen/ATen.h>

#include "data/order.h"
#include "data_files.h"
#include "sgrpo/core/rng.h"

namespace sgrpo::data {
namespace {

class Stream : public DataFiles {
 protected:
  static std::string row(const std::string& id, const std::string& image = "") {
    return R"({"id": ")" + id + R"(", "prompt": "Say )" + id + "\"" +
           (image.empty() ? "" : R"(, "image": ")" + image + "\"") + "}\n";
  }
  /// Rows a0..a(n-1); those whose index is in `broken` name an image that is not there.
  std::string rows(const std::string& name, int64_t n, const std::set<int64_t>& broken = {}) {
    std::string text;
    for (int64_t i = 0; i < n; ++i)
      text += row(core::str(name, i), broken.count(i) ? "gone.png" : "");
    return write(name + ".jsonl", text);
  }
  static PromptStream open(const DataOptions& options, uint64_t seed, int64_t per_step) {
    EncoderSpec spec = golden_spec();
    spec.max_prompt_tokens = options.max_prompt_tokens;
    return {options, std::make_shared<const PromptEncoder>(spec), seed, per_step};
  }
  static std::vector<std::string> ids(PromptStream& stream, int64_t first, int64_t last) {
    std::vector<std::string> result;
    for (int64_t step = first; step <= last; ++step)
      for (const auto& prompt : stream.batch(step).prompts) result.push_back(prompt->record->id);
    return result;
  }
  static DataOptions options(const core::Json& train, bool shuffle = false) {
    DataOptions result;
    result.train = train;
    result.shuffle = shuffle;
    return result;
  }
};

using Ids = std::vector<std::string>;

/// Tells when files of a folder were read to their end.
class Reads {
 public:
  Reads(const std::filesystem::path& folder, std::set<std::string> names)
      : names_(std::move(names)), events_(::inotify_init1(IN_CLOEXEC)) {
    EXPECT_GE(::inotify_add_watch(events_, folder.c_str(), IN_CLOSE_NOWRITE), 0);
  }
  ~Reads() { ::close(events_); }
  /// Until all of them were, or a minute has passed.
  void wait() {
    alignas(inotify_event) char buffer[4096];
    pollfd waited{.fd = events_, .events = POLLIN, .revents = 0};
    while (!names_.empty() && ::poll(&waited, 1, 60'000) == 1) {
      const ssize_t size = ::read(events_, buffer, sizeof(buffer));
      for (ssize_t at = 0; at < size;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
        if (event->len > 0) names_.erase(event->name);
        at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      }
    }
    EXPECT_TRUE(names_.empty());
  }

 private:
  std::set<std::string> names_;
  int events_;
};

TEST_F(Stream, positions_that_are_passed_over_are_nobodys) {
  const auto file = rows("a", 10);
  PromptStream whole = open(options(file, true), 5, 1);
  const Ids all = ids(whole, 1, 30);
  PromptStream stream = open(options(file, true), 5, 3);
  stream.resume(2, 3, core::Json::array(), core::Json::parse("[[12, 14], [4, 6], [5, 8], [0, 1]]"));
  EXPECT_EQ(stream.passed_over(), core::Json::parse("[[0, 1], [4, 8], [12, 14]]"));
  Ids expected, got;
  std::vector<int64_t> places;
  for (const int64_t place : {3, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21})
    expected.push_back(all[static_cast<size_t>(place)]);
  const auto take = [&](const PromptBatch& batch) {
    for (const auto& prompt : batch.prompts) got.push_back(prompt->record->id);
    places.insert(places.end(), batch.prompt_index.begin(), batch.prompt_index.end());
  };
  take(stream.batch(2));
  EXPECT_EQ(stream.position(3), 10);
  take(stream.batch(3));
  take(stream.more(3, std::vector<int64_t>(1, 0)));
  EXPECT_EQ(stream.position(4), 16);
  take(stream.batch(4));
  take(stream.batch(5));
  EXPECT_EQ(got, expected);
  EXPECT_EQ(places, (std::vector<int64_t>{3, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21}));
}

TEST_F(Stream, batch_without_shuffle_follows_the_file_and_wraps) {
  PromptStream stream = open(options(rows("a", 3)), 0, 2);
  EXPECT_EQ(ids(stream, 1, 3), (Ids{"a0", "a1", "a2", "a0", "a1", "a2"}));
  const PromptBatch batch = stream.batch(3);
  EXPECT_EQ(batch.prompt_index, (std::vector<int64_t>{4, 5}));
  EXPECT_DOUBLE_EQ(batch.epoch, 2.0);
}

TEST_F(Stream, batch_with_shuffle_takes_each_row_once_an_epoch) {
  PromptStream stream = open(options(rows("a", 10), true), 7, 5);
  const Ids first = ids(stream, 1, 2), second = ids(stream, 3, 4);
  EXPECT_EQ(std::set<std::string>(first.begin(), first.end()).size(), 10u);
  EXPECT_EQ(std::set<std::string>(second.begin(), second.end()).size(), 10u);
  EXPECT_NE(first, second);
}

TEST_F(Stream, batch_is_a_function_of_seed_and_step_alone) {
  const DataOptions opts = options(rows("a", 10), true);
  PromptStream forward = open(opts, 7, 3);
  const Ids all = ids(forward, 1, 6);
  PromptStream resumed = open(opts, 7, 3);
  EXPECT_EQ(ids(resumed, 4, 6), Ids(all.begin() + 9, all.end()));
  EXPECT_EQ(ids(resumed, 1, 1), Ids(all.begin(), all.begin() + 3));  // and back again
  PromptStream other = open(opts, 8, 3);
  EXPECT_NE(ids(other, 1, 6), all);
}

TEST_F(Stream, mixture_draws_by_weight_and_continues_each_list) {
  const core::Json train = {{{"path", rows("a", 4)}, {"weight", 3.0}},
                            {{"path", rows("b", 3)}, {"weight", 1.0}}};
  PromptStream stream = open(options(train), 1, 100);
  int64_t next_a = 0, next_b = 0;
  const Ids drawn = ids(stream, 1, 4);
  for (const std::string& id : drawn) {
    if (id[0] == 'a') {
      EXPECT_EQ(id, core::str("a", next_a++ % 4));
    } else {
      EXPECT_EQ(id, core::str("b", next_b++ % 3));
    }
  }
  // 400 draws at 3/4: standard deviation 8.7; four of them are 35.
  EXPECT_NEAR(static_cast<double>(next_a), 300, 35);
  PromptStream resumed = open(options(train), 1, 100);
  EXPECT_EQ(ids(resumed, 3, 3), Ids(drawn.begin() + 200, drawn.begin() + 300));
}

TEST_F(Stream, bad_row_is_replaced_by_the_next_good_one_and_named_once) {
  DataOptions opts = options(rows("a", 4, {1, 2}));
  opts.max_bad_fraction = 0.5;
  PromptStream stream = open(opts, 0, 4);
  for (int64_t step = 1; step <= 3; ++step) {
    const PromptBatch batch = stream.batch(step);
    EXPECT_EQ(stream.num_rejected(), 2);
    EXPECT_EQ(batch.prompts[1]->record->id, "a3");
    EXPECT_EQ(batch.prompts[2]->record->id, "a3");
    EXPECT_EQ(batch.prompts[3]->record->id, "a3");
  }
  EXPECT_EQ(stream.num_rejected(), 2);
  ASSERT_EQ(warnings_.size(), 2u);
  EXPECT_EQ(shorten(warnings_[0]),
            "bad row: a.jsonl:2 (id 'a1'): cannot read gone.png: No such file or directory");
}

TEST_F(Stream, replacement_does_not_depend_on_where_the_run_began) {
  DataOptions opts = options(rows("a", 30, {3, 4, 11, 29}), true);
  opts.max_bad_fraction = 0.5;
  PromptStream whole = open(opts, 5, 4);
  const Ids all = ids(whole, 1, 12);
  PromptStream late = open(opts, 5, 4);
  EXPECT_EQ(ids(late, 6, 12), Ids(all.begin() + 20, all.end()));
}

TEST_F(Stream, one_bad_row_of_fifty_is_tolerated_two_stop) {
  PromptStream tolerated = open(options(rows("a", 50, {20})), 0, 25);
  EXPECT_NO_THROW(ids(tolerated, 1, 4));
  PromptStream stopped = open(options(rows("b", 50, {20, 30})), 0, 25);
  EXPECT_NO_THROW(stopped.batch(1));
  EXPECT_EQ(shorten(error_of([&] { stopped.batch(2); })),
            "2 of the 50 rows are bad, more than data.max_bad_fraction = 0.01 allows; fix them "
            "(`sgrpo lint` lists them all) or raise the fraction. The last one: "
            "b.jsonl:31 (id 'b30'): cannot read gone.png: No such file or directory");
}

TEST_F(Stream, resumed_stream_judges_bad_rows_by_all_rows_that_were_used) {
  std::set<int64_t> broken;
  for (int64_t i = 100; i < 3000; i += 145) broken.insert(i);  // 20 of 3000, well below 1 %
  for (int64_t i = 3150; i < 3165; ++i) broken.insert(i);      // 35 of 3165: too many
  const DataOptions opts = options(rows("a", 4000, broken));
  PromptStream whole = open(opts, 0, 100);
  ids(whole, 1, 30);
  EXPECT_EQ(whole.num_rejected(), 20);
  PromptStream resumed = open(opts, 0, 100);
  resumed.resume(31, whole.position(31), whole.rejected_rows());
  EXPECT_EQ(ids(resumed, 31, 31), ids(whole, 31, 31));
  const std::string expected = shorten(error_of([&] { whole.batch(32); }));
  EXPECT_EQ(expected.find("35 of the first 31"), 0u) << expected;
  EXPECT_EQ(shorten(error_of([&] { resumed.batch(32); })), expected);
}

TEST_F(Stream, resumed_mixture_in_its_second_epoch_counts_every_row_once) {
  const core::Json train = {{{"path", rows("a", 700, {10, 20, 30})}, {"weight", 3.0}},
                            {{"path", rows("b", 600, {5, 6})}, {"weight", 1.0}}};
  const DataOptions opts = options(train, true);
  PromptStream whole = open(opts, 3, 50);
  ids(whole, 1, 40);
  PromptStream resumed = open(opts, 3, 50);
  resumed.resume(41, whole.position(41), whole.rejected_rows());
  EXPECT_EQ(ids(resumed, 41, 44), ids(whole, 41, 44));
  EXPECT_EQ(resumed.num_used(), whole.num_used());
  EXPECT_LE(whole.num_used(), 1300);
}

TEST_F(Stream, another_number_of_prompts_goes_on_at_the_same_position) {
  const DataOptions opts = options(rows("a", 24), true);
  PromptStream whole = open(opts, 0, 2);
  const auto all = ids(whole, 1, 12);
  PromptStream before = open(opts, 0, 4);
  EXPECT_EQ(ids(before, 1, 3), decltype(all)(all.begin(), all.begin() + 12));
  PromptStream after = open(opts, 0, 2);
  after.resume(4, before.position(4), before.rejected_rows());
  EXPECT_EQ(after.num_used(), 12);
  const PromptBatch batch = after.batch(4);
  EXPECT_EQ(batch.prompt_index, (std::vector<int64_t>{12, 13}));
  EXPECT_EQ(batch.epoch, 14.0 / 24.0);
  EXPECT_EQ(ids(after, 5, 9), decltype(all)(all.begin() + 14, all.end()));
  EXPECT_EQ(after.position(10), 24);
}

TEST_F(Stream, fraction_zero_tolerates_nothing) {
  DataOptions opts = options(rows("a", 50, {3}));
  opts.max_bad_fraction = 0;
  PromptStream stream = open(opts, 0, 10);
  EXPECT_NE(error_of([&] { stream.batch(1); }).find("1 of the 50 rows are bad"), std::string::npos);
}

TEST_F(Stream, unparsed_rows_stop_the_run_at_start) {
  const std::string path =
      write("t.jsonl", row("a") + "{\"promt\": 1}\n" + "{\"prompt\": 1}\n" + row("b"));
  EXPECT_EQ(shorten(error_of([&] { open(options(path), 0, 1); })),
            "2 of the 4 rows are bad, more than data.max_bad_fraction = 0.01 allows; fix them "
            "(`sgrpo lint` lists them all) or raise the fraction. The last one: "
            "t.jsonl:3 (id '3'): 'prompt' is a number, expected a string or a list of messages");
}

TEST_F(Stream, long_prompts_are_left_out_and_counted_but_not_bad) {
  const std::string words(600, 'x');
  DataOptions opts = options(
      write("t.jsonl", row("a") + row(words) + row(words + "y") + row(words + "z") + row("b")));
  opts.max_prompt_tokens = 100;
  PromptStream stream = open(opts, 0, 5);
  EXPECT_EQ(ids(stream, 1, 1), (Ids{"a", "b", "b", "b", "b"}));
  EXPECT_EQ(stream.num_rejected(), 3);
  EXPECT_EQ(shorten(warnings_.at(0)).find("row left out: t.jsonl:2 (id 'xxx"), 0u);
}

TEST_F(Stream, long_prompt_stops_the_run_when_asked_to) {
  DataOptions opts = options(write("t.jsonl", row("a") + row(std::string(600, 'x'))));
  opts.max_prompt_tokens = 100;
  opts.on_long_prompt = OnLongPrompt::kError;
  PromptStream stream = open(opts, 0, 1);
  EXPECT_NO_THROW(stream.batch(1));
  const std::string error = error_of([&] { stream.batch(2); });
  EXPECT_NE(error.find("at most 100 are allowed (data.max_prompt_tokens)"), std::string::npos);
  EXPECT_NE(error.find("or set data.on_long_prompt: drop"), std::string::npos);
}

TEST_F(Stream, no_usable_row_at_all_is_an_error) {
  DataOptions opts = options(write("t.jsonl", row(std::string(600, 'x'))));
  opts.max_prompt_tokens = 100;
  PromptStream stream = open(opts, 0, 1);
  EXPECT_EQ(shorten(error_of([&] { stream.batch(1); })),
            "t.jsonl: none of its 1 rows can be used (bad rows, or prompts that are too long); "
            "`sgrpo lint` tells why");
}

TEST_F(Stream, positions_drawn_besides_a_batch_move_the_steps_behind_it) {
  PromptStream stream = open(options(rows("a", 9)), 0, 3);
  EXPECT_EQ(ids(stream, 1, 1), (Ids{"a0", "a1", "a2"}));
  const PromptBatch more = stream.more(1, std::vector<int64_t>(2, 0));
  EXPECT_EQ(more.prompts.at(0)->record->id, "a3");
  EXPECT_EQ(more.prompts.at(1)->record->id, "a4");
  EXPECT_EQ(more.prompt_index, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(more.epoch, 5.0 / 9.0);
  EXPECT_EQ(stream.more(1, std::vector<int64_t>(1, 0)).prompts.at(0)->record->id, "a5");
  EXPECT_EQ(stream.position(1), 0);
  EXPECT_EQ(stream.position(2), 6);
  EXPECT_EQ(ids(stream, 2, 2), (Ids{"a6", "a7", "a8"}));
  // A step that did not end takes its place in the stream again: what it drew moves nothing.
  EXPECT_EQ(stream.more(2, std::vector<int64_t>(1, 0)).prompts.at(0)->record->id, "a0");
  EXPECT_EQ(stream.position(2), 6);
  EXPECT_EQ(stream.position(3), 10);
}

TEST_F(Stream, more_than_a_step_can_be_drawn_at_once) {
  PromptStream stream = open(options(rows("a", 9)), 0, 2),
               plain = open(options(rows("a", 9)), 0, 7);
  stream.batch(1);
  Ids drawn;
  for (const auto& prompt : stream.more(1, std::vector<int64_t>(5, 0)).prompts)
    drawn.push_back(prompt->record->id);
  EXPECT_EQ(drawn, (Ids{"a2", "a3", "a4", "a5", "a6"}));
  ids(plain, 1, 1);
  EXPECT_EQ(stream.num_used(), plain.num_used());
  PromptStream resumed = open(options(rows("a", 9)), 0, 2);
  resumed.resume(2, stream.position(2), core::Json::array());
  EXPECT_EQ(ids(resumed, 2, 3), ids(stream, 2, 3));
}

TEST_F(Stream, exactly_one_step_is_encoded_ahead) {
  std::string lines;
  for (int64_t i = 0; i < 8; ++i) {
    copy_image("rgb_56x56.png", core::str("i", i, ".png"));
    lines += row(core::str("a", i), core::str("i", i, ".png"));
  }
  PromptStream stream = open(options(write("t.jsonl", lines)), 0, 2);
  stream.batch(1);
  // The step after the next is not touched: what changes before it is asked for is seen.
  const std::string other = core::read_file(kGolden / "image" / "files" / "rgb_28x28.png");
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  for (int64_t i = 4; i < 8; ++i)
    core::write_file_atomic(folder_ / core::str("i", i, ".png"), other);
  const at::Tensor ahead = stream.batch(2).prompts[0]->patches.pixel_values;
  const at::Tensor fresh = stream.batch(3).prompts[0]->patches.pixel_values;
  EXPECT_FALSE(ahead.sizes() == fresh.sizes() && ahead.equal(fresh));
}

TEST_F(Stream, step_ahead_is_ready_before_it_is_asked_for) {
  std::string lines;
  for (int64_t i = 0; i < 4; ++i) {
    copy_image("rgb_56x56.png", core::str("i", i, ".png"));
    lines += row(core::str("a", i), core::str("i", i, ".png"));
  }
  Reads reads(folder_, {"i2.png", "i3.png"});
  PromptStream stream = open(options(write("t.jsonl", lines)), 0, 2);
  stream.batch(1);
  reads.wait();
  for (int64_t i = 2; i < 4; ++i) std::filesystem::remove(folder_ / core::str("i", i, ".png"));
  EXPECT_EQ(ids(stream, 2, 2), (Ids{"a2", "a3"}));
  EXPECT_EQ(stream.image_cost().images, 2);
  EXPECT_GT(stream.image_cost().cpu_seconds, 0.0);
}

TEST_F(Stream, mixed_rows_of_no_one_and_many_images_share_a_batch) {
  copy_image("rgb_28x28.png", "a.png");
  const std::string path = write(
      "t.jsonl",
      row("text") + row("one", "a.png") +
          R"({"id": "many", "prompt": "<image> or <image> or <image>", "images": ["a.png", "a.png", "a.png"]})"
          "\n");
  PromptStream stream = open(options(path), 0, 3);
  const PromptBatch batch = stream.batch(1);
  std::vector<int64_t> images;
  for (const auto& prompt : batch.prompts) images.push_back(prompt->num_images());
  EXPECT_EQ(images, (std::vector<int64_t>{0, 1, 3}));
  EXPECT_EQ(batch.prompts[0]->patches.pixel_values.size(0), 0);
  EXPECT_EQ(stream.image_cost().images, 4);
}

TEST_F(Stream, wrong_train_values_are_named) {
  const auto error = [&](const core::Json& train) {
    return shorten(error_of([&] { open(options(train), 0, 1); }));
  };
  EXPECT_EQ(error(nullptr),
            "data.train is empty, expected a JSONL file or a list of {path, weight}");
  EXPECT_EQ(error(core::Json::array({{{"path", "a"}, {"wieght", 1}}})),
            "data.train[0]: unknown key 'wieght' (did you mean 'weight'?), "
            "expected path, weight, from_step and until_step");
  EXPECT_EQ(error(core::Json::array({{{"path", "a"}, {"weight", 0}}})),
            "data.train[0].weight is 0, expected a number above 0");
  EXPECT_EQ(error(core::Json::array({{{"path", "a"}, {"from_step", 0}}})),
            "data.train[0]: 'from_step' is 0, expected 1..1000000000000");
  EXPECT_EQ(error(core::Json::array({{{"path", "a"}, {"from_step", 5}, {"until_step", 4}}})),
            "data.train[0]: 'until_step' is 4, expected 5..1000000000000");
  EXPECT_EQ(error(5), "data.train is a number, expected a path or {path, weight}");
  EXPECT_EQ(error("gone.jsonl"), "cannot read gone.jsonl: No such file or directory");
}

TEST_F(Stream, fingerprint_follows_the_bytes) {
  const std::string path = rows("a", 3);
  const std::string before = open(options(path), 0, 1).fingerprint();
  EXPECT_EQ(before, open(options(path), 9, 2).fingerprint());
  rows("a", 4);
  EXPECT_NE(before, open(options(path), 0, 1).fingerprint());
}

TEST_F(Stream, find_gives_the_record_of_an_id) {
  const PromptStream stream = open(options(rows("a", 3)), 0, 1);
  EXPECT_EQ(stream.num_rows(), 3);
  EXPECT_EQ(stream.find("a2")->source.line, 3);
  EXPECT_EQ(stream.find("zz"), nullptr);
}

TEST_F(Stream, find_refuses_an_id_of_two_different_rows) {
  const std::string path =
      write("t.jsonl", row("a") + row("a") + R"({"id": "b", "prompt": "1"})" + "\n" + row("b"));
  PromptStream stream = open(options(path), 0, 4);
  EXPECT_EQ(ids(stream, 1, 1), (Ids{"a", "a", "b", "b"}));  // training takes them as they come
  EXPECT_EQ(stream.find("a")->source.line, 1);              // equal rows: no matter which
  EXPECT_EQ(shorten(error_of([&] { stream.find("b"); })),
            "id 'b' names different rows, t.jsonl:3 and t.jsonl:4; give every row its own 'id'");
}

TEST_F(Stream, eval_set_leaves_bad_rows_out_and_counts_them) {
  const std::string path = write("e.jsonl", row("a") + "{}\n" + row("b"));
  const EvalSet set = load_eval_set("val", path, options(path));
  EXPECT_EQ(set.name, "val");
  EXPECT_EQ(set.records.size(), 2u);
  EXPECT_EQ(set.num_rejected, 1);
  EXPECT_EQ(shorten(warnings_.at(0)).find("bad row: e.jsonl:2 (id '2'): the row has no 'prompt'"),
            0u);
}

/// Entries of a0.., b0.. and so on, each with its steps; 0 = no limit.
core::Json stages(const std::vector<std::array<int64_t, 2>>& steps,
                  const std::vector<std::string>& files) {
  core::Json train = core::Json::array();
  for (size_t i = 0; i < files.size(); ++i) {
    train.push_back({{"path", files[i]}});
    if (steps[i][0] > 0) train.back()["from_step"] = steps[i][0];
    train.back()["until_step"] = steps[i][1] > 0 ? core::Json(steps[i][1]) : core::Json();
  }
  return train;
}

TEST_F(Stream, stages_give_their_rows_to_their_steps) {
  const auto train = stages({{0, 2}, {3, 3}, {4, 0}}, {rows("a", 6), rows("b", 3), rows("c", 3)});
  PromptStream stream = open(options(train), 0, 2);
  EXPECT_EQ(ids(stream, 1, 5), (Ids{"a0", "a1", "a2", "a3", "b0", "b1", "c0", "c1", "c2", "c0"}));
  EXPECT_EQ(ids(stream, 2, 3), (Ids{"a2", "a3", "b0", "b1"})) << "and back again";
  check_steps(train_entries(train), 1'000'000);
}

TEST_F(Stream, prompts_drawn_besides_are_of_the_step_that_takes_them) {
  const auto train = stages({{0, 1}, {2, 0}}, {rows("a", 4), rows("b", 4)});
  PromptStream stream = open(options(train), 0, 2);
  stream.batch(1);  // b0 and b1 are encoded ahead
  Ids drawn;
  for (const auto& prompt : stream.more(1, std::vector<int64_t>(3, 0)).prompts)
    drawn.push_back(prompt->record->id);
  EXPECT_EQ(drawn, (Ids{"a2", "a3", "a0"}));
  EXPECT_EQ(ids(stream, 2, 2), (Ids{"b0", "b1"}));
  EXPECT_EQ(stream.drawn(3), (core::Json{5, 2}));
}

TEST_F(Stream, positions_passed_over_belong_to_a_step) {
  const auto train = stages({{0, 1}, {2, 0}}, {rows("a", 4), rows("b", 4)});
  PromptStream stream = open(options(train), 0, 2);
  stream.resume(1, 0, core::Json::array(), {{1, 3}}, {0, 0});
  EXPECT_EQ(ids(stream, 1, 2), (Ids{"a0", "a3", "b0", "b1"}));
}

TEST_F(Stream, stages_that_overlap_go_on_where_they_were) {
  core::Json train = stages({{0, 4}, {3, 6}, {5, 0}}, {rows("a", 7), rows("b", 5), rows("c", 9)});
  train[1]["weight"] = 2.5;
  PromptStream whole = open(options(train, true), 3, 3);
  const Ids all = ids(whole, 1, 9);
  for (size_t i = 0; i < all.size(); ++i) {
    const size_t step = i / 3 + 1;
    const std::string allowed = step < 3 ? "a" : step < 5 ? "ab" : step < 7 ? "bc" : "c";
    EXPECT_NE(allowed.find(all[i][0]), std::string::npos) << all[i] << " at step " << step;
  }
  for (const int64_t step : {2, 4, 5, 8}) {
    PromptStream before = open(options(train, true), 3, 3);
    ids(before, 1, step - 1);
    PromptStream resumed = open(options(train, true), 3, 3);
    resumed.resume(step, before.position(step), before.rejected_rows(), {}, before.drawn(step));
    EXPECT_EQ(ids(resumed, step, 9), Ids(all.begin() + 3 * (step - 1), all.end()));
    EXPECT_EQ(resumed.num_used(), whole.num_used());
  }
}

TEST_F(Stream, a_step_without_rows_is_refused) {
  const auto error = [&](const std::vector<std::array<int64_t, 2>>& steps, int64_t count) {
    return error_of([&] { check_steps(train_entries(stages(steps, {"a", "b"})), count); });
  };
  const std::string advice =
      "; lower a from_step, raise an until_step, or shorten the run (trainer.steps)";
  EXPECT_EQ(error({{0, 3}, {5, 0}}, 9), "data.train: no entry is active at step 4 of 9" + advice);
  EXPECT_EQ(error({{2, 0}, {3, 0}}, 9), "data.train: no entry is active at step 1 of 9" + advice);
  EXPECT_EQ(error({{0, 3}, {4, 8}}, 9), "data.train: no entry is active at step 9 of 9" + advice);
  check_steps(train_entries(stages({{0, 3}, {4, 8}}, {"a", "b"})), 8);
  check_steps(train_entries(stages({{0, 3}, {5, 0}}, {"a", "b"})), 3);
}

TEST(StreamOrder, order_is_the_keyed_permutation_of_each_epoch) {
  StreamOrder order(3, true, {{.rows = 5}});
  const auto slots = order.slots(3, 4);  // two of epoch 0, two of epoch 1
  const auto expected = [](uint64_t epoch) {
    return core::permutation(
        5, core::RandomKey{.seed = 3, .step = epoch, .purpose = core::Purpose::kShuffle});
  };
  EXPECT_EQ(*slots[0].order, expected(0));
  EXPECT_EQ(slots[0].index, 3);
  EXPECT_EQ(*slots[2].order, expected(1));
  EXPECT_EQ(slots[2].index, 0);
}

}  // namespace
}  // namespace sgrpo::data
