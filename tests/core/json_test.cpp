#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>

#include "sgrpo/core/json.h"
#include "testing/scratch.h"

namespace sgrpo::core {
namespace {

using testing::message_of;

std::string parse_error(const std::string& text) {
  return message_of([&] { parse_json(text, "f.json"); });
}

std::string nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') +
         std::string(static_cast<size_t>(depth), ']');
}

TEST(Json, parse_keeps_the_order_of_keys) {
  EXPECT_EQ(parse_json(R"({"b": 1, "a": [true, null, "é"]})", "f.json").dump(),
            R"({"b":1,"a":[true,null,"é"]})");
}

TEST(Json, parse_nesting_is_capped_at_64) {
  EXPECT_NO_THROW(parse_json(nested(64), "f.json"));
  EXPECT_EQ(parse_error(nested(66)), "f.json: JSON is nested deeper than 64 levels");
  EXPECT_EQ(parse_error(std::string(1000000, '[')), "f.json: JSON is nested deeper than 64 levels");
}

TEST(Json, parse_duplicate_key_is_refused_within_one_object_only) {
  EXPECT_EQ(parse_error(R"({"a": 1, "a": 2})"), "f.json: key 'a' appears twice in one object");
  EXPECT_EQ(parse_error(R"({"x": {"a": 1, "b": {"a": 2}, "a": 3}})"),
            "f.json: key 'a' appears twice in one object");
  EXPECT_NO_THROW(parse_json(R"([{"a": 1}, {"a": 2}, {"b": {"a": 1}}])", "f.json"));
}

TEST(Json, parse_malformed_text_names_place_and_column) {
  EXPECT_EQ(parse_error("{\"a\": }").substr(0, 59),
            "f.json: not valid JSON: parse error at line 1, column 7: sy");
  for (const char* text : {"", "{} {}", "[1,]", "[NaNs]", "{NaN: 1}", "\"\xff\"", "\"\\ud800\""})
    EXPECT_THROW(parse_json(text, "f.json"), UserError) << text;
  EXPECT_EQ(parse_error("{\"n\": NaN, \"a\": }").substr(0, 60),
            "f.json: not valid JSON: parse error at line 1, column 17: sy");
}

TEST(Json, parse_nothing_says_so) {
  EXPECT_EQ(parse_error(""), "f.json is empty (0 bytes), expected JSON");
  EXPECT_EQ(parse_error(" \n"), "f.json is empty (2 bytes), expected JSON");
}

TEST(Json, get_int_checks_type_and_range) {
  const Json object = parse_json(
      R"({"a": 7, "b": "7", "c": 7.5, "d": 28.0, "e": 18446744073709551615, "f": null, "g": []})",
      "f.json");
  EXPECT_EQ(get_int(object, "a", "f.json"), 7);
  EXPECT_EQ(get_int(object, "d", "f.json"), 28);
  EXPECT_EQ(get_int_or(object, "x", 3, "f.json"), 3);
  EXPECT_EQ(get_int_or(object, "f", 3, "f.json"), 3);
  EXPECT_EQ(message_of([&] { get_int(object, "x", "f.json"); }), "f.json: key 'x' is missing");
  EXPECT_EQ(message_of([&] { get_int(object, "b", "f.json"); }),
            "f.json: 'b' is a string, expected an integer");
  EXPECT_EQ(message_of([&] { get_int(object, "c", "f.json"); }),
            "f.json: 'c' is 7.5, expected an integer");
  EXPECT_EQ(message_of([&] { get_int(object, "g", "f.json"); }),
            "f.json: 'g' is an array, expected an integer");
  EXPECT_EQ(message_of([&] { get_int(object, "a", "f.json", 1, 4); }),
            "f.json: 'a' is 7, expected 1..4");
  EXPECT_EQ(message_of([&] { get_int(object, "e", "f.json"); }),
            "f.json: 'e' is 18446744073709551615, which does not fit 64 bits");
  EXPECT_EQ(message_of([&] { get_int(object["g"], "a", "f.json"); }),
            "f.json: expected an object with key 'a', got an array");
}

TEST(Json, get_other_types_checks_them) {
  const Json object = parse_json(
      R"({"d": 1, "s": "x", "b": true, "l": [1, 2], "m": [1, "x"], "o": {"k": 1}})", "f.json");
  EXPECT_EQ(get_double(object, "d", "f"), 1.0);
  EXPECT_EQ(get_string(object, "s", "f"), "x");
  EXPECT_EQ(get_bool_or(object, "b", false, "f"), true);
  EXPECT_EQ(get_bool_or(object, "z", true, "f"), true);
  EXPECT_EQ(get_int_list(object, "l", "f"), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(get_object(object, "o", "f").dump(), R"({"k":1})");
  EXPECT_EQ(find(object, "z"), nullptr);
  EXPECT_EQ(message_of([&] { get_double(object, "s", "f"); }),
            "f: 's' is a string, expected a number");
  EXPECT_EQ(message_of([&] { get_string(object, "d", "f"); }),
            "f: 'd' is an integer, expected a string");
  EXPECT_EQ(message_of([&] { get_int_list(object, "m", "f"); }),
            "f: 'm' is a string, expected an integer");
  EXPECT_EQ(message_of([&] { get_object(object, "l", "f"); }),
            "f: 'l' is an array, expected an object");
}

TEST(Json, values_that_no_double_holds_are_refused_by_their_reader_alone) {
  const Json object = parse_json(
      R"({"nan": NaN, "inf": [Infinity, -Infinity], "big": 1e999, "text": "NaN, \"Infinity", "i": 1})",
      "f");
  EXPECT_EQ(get_int(object, "i", "f"), 1);
  EXPECT_EQ(get_string(object, "text", "f"), "NaN, \"Infinity");
  EXPECT_EQ(number_text(object["nan"]), "NaN");
  EXPECT_EQ(number_text(object["inf"][1]), "-Infinity");
  EXPECT_EQ(number_text(object["big"]), "1e999");
  EXPECT_TRUE(std::isinf(*number_value(object["big"])));
  EXPECT_EQ(number_text(object["text"]), std::nullopt);
  EXPECT_EQ(message_of([&] { get_double(object, "nan", "f"); }),
            "f: 'nan' is NaN, expected a number");
  EXPECT_EQ(message_of([&] { get_int(object, "big", "f"); }),
            "f: 'big' is 1e999, expected an integer");
  EXPECT_EQ(message_of([&] { get_string(object, "nan", "f"); }),
            "f: 'nan' is NaN, expected a string");
  EXPECT_EQ(dump_ascii(object["inf"]), "[null,null]");
  EXPECT_NE(message_of([] { parse_json("[NaN]", "f", Numbers::kStrict); }), "");
  EXPECT_NE(message_of([] { parse_json("[1e999]", "f", Numbers::kStrict); }), "");
}

TEST(Json, numbers_keep_their_text_where_asked_for) {
  const std::string text =
      R"({"a":0.10,"b":1267650600228229401496703205376,"c":-9223372036854775809,"d":[1E3,1.0,0.5],"e":{"f":1e-06},"g":18446744073709551615})";
  const Json exact = parse_json(text, "f", Numbers::kText);
  EXPECT_EQ(dump_ascii(exact), text);
  EXPECT_EQ(number_text(exact["a"]), "0.10");
  EXPECT_EQ(get_double(exact, "a", "f"), 0.1);
  EXPECT_EQ(number_text(exact["d"][1]), "1.0");
  EXPECT_EQ(message_of([&] { get_int(exact, "b", "f"); }),
            "f: 'b' is 1267650600228229401496703205376, which does not fit 64 bits");
  EXPECT_EQ(get_int_list(parse_json("{\"l\": [2.00, 1e1]}", "f", Numbers::kText), "l", "f"),
            (std::vector<int64_t>{2, 10}));
  const Json rounded = parse_json(text, "f");
  EXPECT_TRUE(rounded["b"].is_number_float());
  EXPECT_EQ(number_text(rounded["a"]), "0.1");
}

TEST(Json, dump_ascii_escapes_everything_beyond_ascii) {
  EXPECT_EQ(dump_ascii(Json{{"k", "é\n\xF0\x9F\x98\x80"}}), R"({"k":"\u00e9\n\ud83d\ude00"})");
  EXPECT_EQ(dump_ascii(Json("a\xff"
                            "b")),
            R"("a\ufffdb")");
}

}  // namespace
}  // namespace sgrpo::core
