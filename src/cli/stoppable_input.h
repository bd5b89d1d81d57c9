// stdin that a stop signal ends.
#pragma once

#include <array>
#include <streambuf>

namespace sgrpo::cli {

/// Reads a descriptor for a std::istream; while it waits for input, a requested stop ends it like
/// the end of the file.
class StoppableInput : public std::streambuf {
 public:
  explicit StoppableInput(int descriptor) : descriptor_(descriptor) {}

 protected:
  int_type underflow() override;

 private:
  int descriptor_;
  std::array<char, 1 << 16> buffer_{};
};

}  // namespace sgrpo::cli
