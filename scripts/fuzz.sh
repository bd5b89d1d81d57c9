#!/usr/bin/env bash
# Every parser under damaged input: scripts/fuzz.sh [SECONDS a target, 60] [TARGET ...]
# With a clang that has libFuzzer and C++20's source_location (16 or newer), guided by coverage; else by our own driver
# under g++'s sanitizers. Inputs that crash are kept in build/fuzz; exit status 1 if there are any.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in tests/fuzz/targets/*.cpp; do targets+=("$(basename "$source" .cpp)"); done
fi
mkdir -p build/fuzz

has_libfuzzer() {
  printf '%s\n' '#include <cstddef>' '#include <cstdint>' '#include <source_location>' \
    'extern "C" int LLVMFuzzerTestOneInput(const uint8_t*, size_t size) {' \
    'return std::source_location::current().line() == size ? 0 : 0; }' |
    clang++ -std=c++20 -fsanitize=fuzzer -x c++ - -o build/fuzz/probe 2>/dev/null
}

if has_libfuzzer; then
  cmake -S . -B build/libfuzzer -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DSGRPO_LIBFUZZER=ON \
    -DCMAKE_CXX_FLAGS=-fsanitize=fuzzer-no-link,address >build/fuzz/configure.log
  cmake --build build/libfuzzer --target "${targets[@]/#/fuzz_}"
  failures=0
  for target in "${targets[@]}"; do
    mkdir -p "build/fuzz/corpus/$target"
    build/libfuzzer/tests/fuzz/fuzz_"$target" -max_total_time="$seconds" -max_len=65536 -timeout=20 \
      -artifact_prefix="build/fuzz/$target-" "build/fuzz/corpus/$target" "tests/fuzz/seeds/$target" || failures=1
  done
  exit $failures
fi

echo "no clang with libFuzzer and source_location here: our own driver, built by g++ with sanitizers"
cmake --preset dev >build/fuzz/configure.log
cmake --build --preset dev --target fuzz_parsers
cd build/fuzz
../dev/tests/fuzz/fuzz_parsers ../../tests/fuzz/seeds 1000000000000 "$seconds" "${targets[@]}"
