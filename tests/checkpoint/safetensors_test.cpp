#include "sgrpo/checkpoint/safetensors.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "checkpoint/files.h"
#include "checkpoint/io.h"
#include "sgrpo/core/rng.h"
#include "sgrpo/core/sha256.h"

namespace sgrpo::checkpoint {
namespace {

using testing::read_text;
using testing::safetensors_bytes;
using testing::Scratch;
using testing::write_text;

struct HostileHeader {
  const char* name;
  std::string header;
  size_t data_bytes;
  const char* message;
};

class SafetensorsHeader : public ::testing::TestWithParam<HostileHeader> {};

TEST_P(SafetensorsHeader, open_hostile_header_is_refused_naming_file_and_cause) {
  const Scratch scratch;
  const auto path = scratch / "bad.safetensors";
  write_text(path, safetensors_bytes(GetParam().header, std::string(GetParam().data_bytes, 'x')));
  EXPECT_MESSAGE(FormatError, GetParam().message, SafetensorsFile(path));
  EXPECT_MESSAGE(FormatError, path.string(), SafetensorsFile(path));
}

std::string tensor(const char* name, const char* dtype, const char* shape, const char* offsets) {
  return core::str("\"",
                   name,
                   R"(":{"dtype":")",
                   dtype,
                   R"(","shape":)",
                   shape,
                   R"(,"data_offsets":)",
                   offsets,
                   "}");
}

std::string nested(size_t levels) {
  return R"({"a":{"extra":)" + std::string(levels, '[') + std::string(levels, ']') + "}}";
}

const std::string kGood = tensor("a", "F32", "[2]", "[0,8]");

INSTANTIATE_TEST_SUITE_P(
    all,
    SafetensorsHeader,
    ::testing::Values(
        HostileHeader{"not_an_object", "[]", 0, "expected '{'"},
        HostileHeader{"leading_space", " {}", 0, "expected '{'"},
        HostileHeader{"empty", "", 0, "not a safetensors file"},
        HostileHeader{"cut_json", "{\"a\":", 0, "not valid JSON at byte"},
        HostileHeader{"trailing_text", "{}x", 0, "not valid JSON at byte"},
        HostileHeader{"invalid_utf8", "{\"\xff\":{}}", 0, "not valid JSON at byte"},
        HostileHeader{"duplicate_tensor", "{" + kGood + "," + kGood + "}", 8, "'a' appears twice"},
        HostileHeader{"duplicate_field",
                      R"({"a":{"dtype":"F32","dtype":"F32"}})",
                      0,
                      "'a' has key 'dtype' twice"},
        HostileHeader{"duplicate_metadata",
                      R"({"__metadata__":{"k":"1","k":"2"}})",
                      0,
                      "'__metadata__' has key 'k' twice"},
        HostileHeader{"metadata_number",
                      R"({"__metadata__":{"k":1}})",
                      0,
                      "'__metadata__' has the number 1 under key 'k', expected a string"},
        HostileHeader{"empty_name", "{" + tensor("", "F32", "[0]", "[0,0]") + "}", 0, "empty name"},
        HostileHeader{"nul_name", "{" + tensor("\\u0000", "F32", "[0]", "[0,0]") + "}", 0, "NUL"},
        HostileHeader{"value_not_object", R"({"a":3})", 0, "'a' is the number 3"},
        HostileHeader{"null_tensor", R"({"a":null})", 0, "'a' is null"},
        HostileHeader{"no_dtype", R"({"a":{"shape":[],"data_offsets":[0,0]}})", 0, "no 'dtype'"},
        HostileHeader{"no_offsets", R"({"a":{"dtype":"F32","shape":[]}})", 0, "no 'data_offsets'"},
        HostileHeader{"unknown_dtype",
                      "{" + tensor("a", "F8_E4M3", "[8]", "[0,8]") + "}",
                      8,
                      "'a' has dtype 'F8_E4M3'; supported: F64, F32"},
        HostileHeader{"dtype_number",
                      R"({"a":{"dtype":1,"shape":[],"data_offsets":[0,0]}})",
                      0,
                      "the number 1 in 'dtype'"},
        HostileHeader{"negative_dimension",
                      "{" + tensor("a", "F32", "[-1]", "[0,4]") + "}",
                      4,
                      "the negative number -1 in 'shape'"},
        HostileHeader{"fractional_dimension",
                      "{" + tensor("a", "F32", "[2.0]", "[0,8]") + "}",
                      8,
                      "the number 2.0 in 'shape'"},
        HostileHeader{"nested_shape",
                      "{" + tensor("a", "F32", "[[2]]", "[0,8]") + "}",
                      8,
                      "a list in 'shape'"},
        HostileHeader{"huge_dimension",
                      "{" + tensor("a", "F32", "[281474976710657]", "[0,8]") + "}",
                      8,
                      "at most 2^48"},
        HostileHeader{"product_overflow",
                      "{" + tensor("a", "F32", "[1099511627776,1099511627776]", "[0,8]") + "}",
                      8,
                      "overflows 64 bits"},
        HostileHeader{"stride_overflow",
                      "{" + tensor("a", "F32", "[0,1099511627776,1099511627776]", "[0,0]") + "}",
                      0,
                      "overflows 64 bits"},
        HostileHeader{"one_offset", "{" + tensor("a", "F32", "[2]", "[0]") + "}", 8, "has 1 data"},
        HostileHeader{"three_offsets",
                      "{" + tensor("a", "F32", "[2]", "[0,8,8]") + "}",
                      8,
                      "more than two data_offsets"},
        HostileHeader{"backwards", "{" + tensor("a", "F32", "[0]", "[8,0]") + "}", 8, "backwards"},
        HostileHeader{"wrapping_offsets",
                      "{" + tensor("a", "F32", "[0]", "[18446744073709551615,0]") + "}",
                      0,
                      "backwards"},
        HostileHeader{"offset_over_64_bits",
                      "{" + tensor("a", "F32", "[2]", "[0,18446744073709551616]") + "}",
                      8,
                      "in 'data_offsets'"},
        HostileHeader{"beyond_the_file",
                      "{" + tensor("a", "F32", "[4]", "[0,16]") + "}",
                      8,
                      "the file holds 8 bytes of data"},
        HostileHeader{"hole",
                      "{" + kGood + "," + tensor("b", "U8", "[1]", "[9,10]") + "}",
                      10,
                      "'b' has data_offsets [9, 10), which leave a hole: expected to start at 8"},
        HostileHeader{"hole_at_start",
                      "{" + tensor("a", "U8", "[1]", "[1,2]") + "}",
                      2,
                      "leave a hole: expected to start at 0"},
        HostileHeader{"overlap",
                      "{" + kGood + "," + tensor("b", "U8", "[4]", "[4,8]") + "}",
                      8,
                      "'b' has data_offsets [4, 8), which overlap"},
        HostileHeader{"uncovered_end", "{" + kGood + "}", 9, "tensors cover 8 bytes"},
        HostileHeader{"no_tensors_but_data", "{}", 1, "tensors cover 0 bytes"},
        HostileHeader{"size_mismatch",
                      "{" + tensor("a", "F32", "[3]", "[0,8]") + "}",
                      8,
                      "has 8 bytes, but its shape and dtype F32 need 12"},
        HostileHeader{"deep_unknown_value", nested(100), 0, "deeper than 64 levels"}),
    [](const auto& row) { return row.param.name; });

TEST(Safetensors, open_rank_65_is_refused) {
  const Scratch scratch;
  std::string shape = "[1";
  for (int i = 1; i < 64; ++i) shape += ",1";
  const auto path = scratch / "a.safetensors";
  write_text(path,
             safetensors_bytes("{" + tensor("a", "U8", (shape + "]").c_str(), "[0,1]") + "}", "x"));
  EXPECT_EQ(SafetensorsFile(path).read("a").dim(), 64);
  write_text(
      path,
      safetensors_bytes("{" + tensor("a", "U8", (shape + ",1]").c_str(), "[0,1]") + "}", "x"));
  EXPECT_MESSAGE(FormatError, "more than 64 dimensions", SafetensorsFile(path));
}

TEST(Safetensors, open_header_over_100_mb_is_refused_before_reading_it) {
  const Scratch scratch;
  const auto path = scratch / "huge.safetensors";
  const uint64_t announced = 100'000'001;
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &announced, 8);
  write_text(path, bytes);
  std::filesystem::resize_file(path, 8 + announced);  // sparse
  EXPECT_MESSAGE(FormatError, "at most 100000000 are accepted", SafetensorsFile(path));
  const uint64_t wrapping = ~uint64_t{0} - 3;
  std::memcpy(bytes.data(), &wrapping, 8);
  write_text(path, bytes);
  EXPECT_MESSAGE(FormatError, "at most 100000000 are accepted", SafetensorsFile(path));
}

TEST(Safetensors, open_short_or_absent_file_says_so) {
  const Scratch scratch;
  write_text(scratch / "short", "1234567");
  EXPECT_MESSAGE(FormatError, "7 bytes, expected at least 8", SafetensorsFile(scratch / "short"));
  write_text(scratch / "cut", safetensors_bytes("{" + kGood + "}", "").substr(0, 20));
  EXPECT_MESSAGE(FormatError, "truncated: the header has", SafetensorsFile(scratch / "cut"));
  EXPECT_MESSAGE(FormatError, "No such file or directory", SafetensorsFile(scratch / "absent"));
  EXPECT_MESSAGE(FormatError, "is not a regular file", SafetensorsFile(scratch.path()));
}

TEST(Safetensors, read_file_truncated_after_open_is_an_error) {
  const Scratch scratch;
  const auto path = scratch / "a.safetensors";
  const std::string bytes = safetensors_bytes("{" + kGood + "}", "12345678");
  write_text(path, bytes);
  const SafetensorsFile file(path);
  std::filesystem::resize_file(path, bytes.size() - 1);
  EXPECT_MESSAGE(FormatError, "was truncated while being read", file.read("a"));
}

TEST(Safetensors, read_unaligned_and_empty_tensors_gives_their_values) {
  const Scratch scratch;
  const auto path = scratch / "a.safetensors";
  const float values[2] = {1.5f, -2.0f};
  std::string data(9, '\x07');
  std::memcpy(data.data() + 1, values, 8);
  write_text(path,
             safetensors_bytes(R"({"__metadata__":null,)" + tensor("b", "F32", "[1,2]", "[1,9]") +
                                   "," + tensor("e", "F32", "[0,3]", "[1,1]") + "," +
                                   tensor("a", "U8", "[]", "[0,1]") + "}  ",
                               data));
  const SafetensorsFile file(path);
  ASSERT_EQ(file.entries().size(), 3u);
  EXPECT_EQ(file.entries()[0].name, "a");
  EXPECT_EQ(file.entries()[1].name, "e");
  EXPECT_EQ(file.entries()[2].name, "b");
  EXPECT_EQ(file.read("a").item<int64_t>(), 7);
  EXPECT_EQ(file.read("e").sizes(), (at::IntArrayRef{0, 3}));
  EXPECT_TRUE(at::equal(file.read("b"), at::tensor({1.5f, -2.0f}).view({1, 2})));
  EXPECT_MESSAGE(FormatError, "has no tensor 'c'", file.read("c"));
}

TEST(Safetensors, read_bool_with_other_bytes_is_refused) {
  const Scratch scratch;
  const auto path = scratch / "a.safetensors";
  write_text(path, safetensors_bytes("{" + tensor("a", "BOOL", "[2]", "[0,2]") + "}", "\1\2"));
  EXPECT_MESSAGE(FormatError, "is BOOL but has bytes above 1", SafetensorsFile(path).read("a"));
}

TEST(Safetensors, write_then_read_keeps_every_dtype_order_and_metadata) {
  const Scratch scratch;
  const auto path = scratch / "all.safetensors";
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto type : {at::kDouble,
                          at::kFloat,
                          at::kHalf,
                          at::kBFloat16,
                          at::kLong,
                          at::kInt,
                          at::kShort,
                          at::kChar,
                          at::kByte,
                          at::kBool}) {
    tensors.emplace_back(core::str("t.", c10::toString(type)),
                         at::arange(6).sub(3).to(at::kChar).remainder(2).view({2, 3}).to(type));
  }
  tensors.emplace_back("transposed", at::arange(6, at::kFloat).view({2, 3}).t());
  tensors.emplace_back("scalar", at::scalar_tensor(3.5, at::kDouble));
  const std::string digest = write_safetensors(path, tensors, {{"format", "pt"}});
  EXPECT_EQ(digest, core::sha256_hex(read_text(path)));

  const SafetensorsFile file(path);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ((8 + file.header_text().size()) % 8, 0u);
  ASSERT_EQ(file.entries().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, value] = tensors[i];
    EXPECT_EQ(file.entries()[i].name, name);
    EXPECT_EQ(file.read(name).scalar_type(), value.scalar_type());
    EXPECT_TRUE(at::equal(file.read(name), value)) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(temporary_beside(path)));
}

TEST(Safetensors, write_unsupported_or_repeated_tensor_breaks_the_contract) {
  const Scratch scratch;
  const at::Tensor value = at::zeros({1}, at::kComplexFloat);
  EXPECT_MESSAGE(
      core::ContractError, "'z' has dtype", write_safetensors(scratch / "f", {{"z", value}}));
  const at::Tensor one = at::zeros({1});
  EXPECT_MESSAGE(core::ContractError,
                 "used twice",
                 write_safetensors(scratch / "f", {{"a", one}, {"a", one}}));
  EXPECT_MESSAGE(core::RunError,
                 "cannot write",
                 write_safetensors(scratch / "no" / "folder" / "f", {{"a", one}}));
}

TEST(Safetensors, open_randomly_damaged_header_never_crashes) {
  const Scratch scratch;
  const auto path = scratch / "fuzz.safetensors";
  write_safetensors(path,
                    {{"layers.0.weight", at::ones({2, 3})},
                     {"layers.0.bias", at::ones({3}, at::kBFloat16)},
                     {"empty", at::ones({0, 4}, at::kLong)}},
                    {{"format", "pt"}});
  const std::string good = read_text(path);
  const size_t header_end = good.size() - 24 - 6;
  int refused = 0;
  for (uint64_t round = 0; round < 1000; ++round) {
    const core::RandomKey key{.seed = 1, .step = round};
    std::string bytes = good;
    const uint64_t flips = 1 + key.below(3, 0);
    for (uint64_t i = 1; i <= flips; ++i) {
      bytes[key.below(header_end, 2 * i)] = static_cast<char>(key.below(256, 2 * i + 1));
    }
    if (round % 5 == 0) bytes.resize(key.below(bytes.size(), 99));
    write_text(path, bytes);
    try {
      const SafetensorsFile file(path);
      for (const TensorEntry& entry : file.entries()) (void)file.read(entry.name);
    } catch (const FormatError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 750);  // most flips hit structure; those in names or padding are harmless
}

}  // namespace
}  // namespace sgrpo::checkpoint
