#!/usr/bin/env bash
# Everything that needs no GPU: set-up, format, layers, headers, docs, builds, tests. Ends with CTest's summary.
set -euo pipefail
cd "$(dirname "$0")/.."
start=$SECONDS
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} # tests run side by side: waiting threads must not spin
step() { printf '\n==== [%4d s] %s\n' $((SECONDS - start)) "$*"; }

has_nvcc() {
  export PATH="$PATH:${CUDA_HOME:-/usr/local/cuda}/bin"
  command -v nvcc >/dev/null && nvcc --version | grep -qE 'release (1[3-9]|[2-9][0-9])\.'
}

step "set-up"
scripts/setup.sh

step "format, include law, docs"
scripts/format.sh --check
python3 scripts/check_layers.py
python3 scripts/check_docs.py

step "release build with tests"
mkdir -p build
cmake --preset release >build/configure-release.log 2>&1 || { cat build/configure-release.log && exit 1; }
cmake --build --preset release

step "every public header compiles alone"
cmake --build --preset release --target check_headers

step "torch-free rooms under AddressSanitizer and UndefinedBehaviorSanitizer"
cmake --preset dev >build/configure-dev.log 2>&1 || { cat build/configure-dev.log && exit 1; }
cmake --build --preset dev --target torch_free_tests
ctest --preset dev -L torch_free --no-tests=error -j "$(nproc)"

if has_nvcc; then
  step "CUDA kernels compile ($(nvcc --version | sed -n 's/.*\(release [0-9.]*\).*/\1/p'), no GPU needed)"
  cmake --build --preset release --target check_cuda_kernels
  step "registers and spills of the CUDA kernels"
  scripts/kernel_resources.sh
  step "CUDA preset: the rooms that differ from the build above (linking needs scripts/setup.sh --cuda)"
  cmake --preset cuda >build/configure-cuda.log 2>&1 || { cat build/configure-cuda.log && exit 1; }
  cmake --build --preset cuda --target sgrpo_kernels sgrpo_ops
else
  step "CUDA preset skipped: no nvcc >= 13.0 on PATH or in CUDA_HOME"
fi

step "unit and golden tests (release)"
ctest --preset release -L 'unit|golden' --no-tests=error -j "$(nproc)"
