#include "checkpoint/header.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "checkpoint/dtype.h"
#include "sgrpo/core/json.h"
#include "sgrpo/core/text.h"

namespace sgrpo::checkpoint {
namespace {

constexpr size_t kMaxRank = 64;
constexpr uint64_t kMaxDimension = uint64_t{1} << 48;
constexpr std::string_view kMetadataName = "__metadata__";

/// Header events straight into entries: a document tree of a hostile 100 MB header would take
/// gigabytes, and its ordered objects quadratic time.
class HeaderReader final : public core::Json::json_sax_t {
 public:
  explicit HeaderReader(const std::string& where) : where_(where) {}

  Header header;

  bool null() override {
    const bool absent_metadata = place_ == Place::kTop && name_ == kMetadataName;
    return absent_metadata || scalar("null");
  }
  bool boolean(bool) override { return scalar("true or false"); }
  bool number_integer(number_integer_t value) override {
    return scalar(core::str("the negative number ", value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return scalar(core::str("the number ", core::printable(text)));
  }
  bool binary(binary_t&) override { return scalar("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kOffsets) {
      if (num_offsets_ == 2) refuse("has more than two data_offsets");
      (num_offsets_++ == 0 ? entry_.begin : entry_.end) = value;
      return true;
    }
    if (place_ != Place::kShape) return scalar(core::str("the number ", value));
    if (value > kMaxDimension) {
      refuse(core::str("has dimension ", value, ", at most 2^48 is accepted"));
    }
    if (entry_.shape.size() == kMaxRank) refuse("has more than 64 dimensions");
    entry_.shape.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      header.metadata[field_] = std::move(value);
      return true;
    }
    if (place_ != Place::kTensor || field_ != "dtype") return scalar("a string");
    entry_.dtype = std::move(value);
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::kStart) {
      place_ = Place::kTop;
    } else if (place_ == Place::kTop && name_ == kMetadataName) {
      place_ = Place::kMetadata;
    } else if (place_ == Place::kTop) {
      place_ = Place::kTensor;
      entry_ = TensorEntry();
      entry_.name = name_;
      fields_.clear();
      num_offsets_ = 0;
    } else {
      enter_unknown("an object");
    }
    return true;
  }

  bool key(string_t& value) override {
    if (place_ == Place::kTop) {
      name_ = std::move(value);
      if (name_.empty()) throw FormatError(core::str(where_, ": a tensor has an empty name"));
      if (name_.find('\0') != std::string::npos) refuse("has a NUL byte in its name");
      if (!names_.insert(name_).second) refuse("appears twice in the header");
    } else if (place_ == Place::kMetadata) {
      field_ = std::move(value);
      if (header.metadata.count(field_) != 0) {
        refuse(core::str("has key '", core::printable(field_), "' twice"));
      }
    } else if (place_ == Place::kTensor) {
      field_ = std::move(value);
      if (!fields_.insert(field_).second) {
        refuse(core::str("has key '", core::printable(field_), "' twice"));
      }
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kUnknown) return leave_unknown();
    if (place_ == Place::kTensor) {
      for (const char* field : {"dtype", "shape", "data_offsets"}) {
        if (fields_.count(field) == 0) refuse(core::str("has no '", field, "'"));
      }
      header.entries.push_back(std::move(entry_));
    }
    place_ = Place::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::kTensor && field_ == "shape") {
      place_ = Place::kShape;
    } else if (place_ == Place::kTensor && field_ == "data_offsets") {
      place_ = Place::kOffsets;
    } else {
      enter_unknown("a list");
    }
    return true;
  }

  bool end_array() override {
    if (place_ == Place::kUnknown) return leave_unknown();
    if (place_ == Place::kOffsets && num_offsets_ != 2) {
      refuse(core::str("has ", num_offsets_, " data_offsets, expected two"));
    }
    place_ = Place::kTensor;
    return true;
  }

  bool parse_error(std::size_t position,
                   const std::string&,
                   const nlohmann::detail::exception& error) override {
    std::string_view why = error.what();  // "[json.exception...] parse error at ...: syntax ..."
    if (const size_t syntax = why.find(": "); syntax != std::string_view::npos) {
      why.remove_prefix(syntax + 2);
    }
    throw FormatError(core::str(where_,
                                ": the header is not valid JSON at byte ",
                                position,
                                ": ",
                                core::printable(why, 200)));
  }

 private:
  enum class Place { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kUnknown };

  [[noreturn]] void refuse(const std::string& what) const {
    const char* kind = name_ == kMetadataName ? ": '" : ": tensor '";
    throw FormatError(core::str(where_, kind, core::printable(name_, 200), "' ", what));
  }

  bool is_known_field() const {
    return field_ == "dtype" || field_ == "shape" || field_ == "data_offsets";
  }

  /// A value that none of our fields takes: ignored under an unknown key, as the reference does.
  bool scalar(const std::string& kind) const {
    if (place_ == Place::kUnknown || (place_ == Place::kTensor && !is_known_field())) return true;
    if (place_ == Place::kTop) refuse(core::str("is ", kind, ", expected an object"));
    if (place_ == Place::kMetadata) {
      refuse(
          core::str("has ", kind, " under key '", core::printable(field_), "', expected a string"));
    }
    refuse(core::str("has ", kind, " in '", field_, "'"));
  }

  void enter_unknown(const char* kind) {
    scalar(kind);  // throws where the value is not under an unknown key
    place_ = Place::kUnknown;
    if (++unknown_depth_ > 64) refuse("has values nested deeper than 64 levels");
  }

  bool leave_unknown() {
    if (--unknown_depth_ == 0) place_ = Place::kTensor;
    return true;
  }

  const std::string& where_;
  Place place_ = Place::kStart;
  std::string name_, field_;
  TensorEntry entry_;
  int num_offsets_ = 0;
  int unknown_depth_ = 0;
  std::unordered_set<std::string> names_, fields_;
};

[[noreturn]] void refuse(const std::string& where,
                         const TensorEntry& entry,
                         const std::string& what) {
  throw FormatError(core::str(where, ": tensor '", core::printable(entry.name, 200), "' ", what));
}

/// Elements x bytes of one element, which must not wrap even where a dimension is 0 (strides are
/// products of the others).
uint64_t checked_bytes(const TensorEntry& entry, const Dtype& dtype, const std::string& where) {
  constexpr uint64_t kMax = uint64_t{1} << 62;
  uint64_t bytes = dtype.bytes;
  bool is_empty = false;
  for (const int64_t dimension : entry.shape) {
    is_empty = is_empty || dimension == 0;
    const auto factor = static_cast<uint64_t>(std::max<int64_t>(dimension, 1));
    if (bytes > kMax / factor) refuse(where, entry, "has a shape whose size overflows 64 bits");
    bytes *= factor;
  }
  return is_empty ? 0 : bytes;
}

constexpr const char* kQuantisedHint =
    "; quantised weights are not read: take the float32 or bfloat16 original";

/// F8_E4M3, F8_E5M2, F8_E8M0, F6_..., F4
bool is_quantised(std::string_view dtype) {
  return core::starts_with(dtype, "F8_") || core::starts_with(dtype, "F6_") || dtype == "F4";
}

void check_layout(const Header& header, uint64_t data_bytes, const std::string& where) {
  uint64_t position = 0;
  for (const TensorEntry& entry : header.entries) {
    const Dtype* dtype = find_dtype(entry.dtype);
    if (dtype == nullptr) {
      refuse(where,
             entry,
             core::str("has dtype '",
                       core::printable(entry.dtype),
                       "'; supported: ",
                       known_dtypes(),
                       is_quantised(entry.dtype) ? kQuantisedHint : ""));
    }
    const std::string range = core::str("[", entry.begin, ", ", entry.end, ")");
    if (entry.end < entry.begin) {
      refuse(where, entry, core::str("has data_offsets ", range, ", which run backwards"));
    }
    if (entry.end > data_bytes) {
      refuse(where,
             entry,
             core::str("has data_offsets ",
                       range,
                       ", but the file holds ",
                       data_bytes,
                       " bytes of data; it may be incomplete: copy or download it again"));
    }
    if (entry.begin != position) {
      refuse(where,
             entry,
             core::str("has data_offsets ",
                       range,
                       entry.begin > position ? ", which leave a hole: " : ", which overlap: ",
                       "expected to start at ",
                       position));
    }
    const uint64_t expected = checked_bytes(entry, *dtype, where);
    if (entry.end - entry.begin != expected) {
      refuse(where,
             entry,
             core::str("has ",
                       entry.end - entry.begin,
                       " bytes, but its shape and dtype ",
                       entry.dtype,
                       " need ",
                       expected));
    }
    position = entry.end;
  }
  if (position != data_bytes) {
    throw FormatError(core::str(where,
                                ": tensors cover ",
                                position,
                                " bytes, but the file holds ",
                                data_bytes,
                                " of data"));
  }
}

}  // namespace

Header parse_header(std::string_view text, uint64_t data_bytes, const std::string& where) {
  if (text.empty() || text.front() != '{') {
    throw FormatError(core::str(where,
                                ": not a safetensors file (the header starts with '",
                                core::printable(text.substr(0, 1)),
                                "', expected '{')"));
  }
  HeaderReader reader(where);
  core::Json::sax_parse(text.begin(), text.end(), &reader);
  Header header = std::move(reader.header);
  // Stable, so that an empty tensor stays before the tensor that starts at the same byte.
  std::stable_sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  check_layout(header, data_bytes, where);
  return header;
}

}  // namespace sgrpo::checkpoint
