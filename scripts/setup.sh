#!/usr/bin/env bash
# Installs what building needs: Debian packages and the pinned torch wheel (as LibTorch) under third_party/libtorch.
# Idempotent; no network when nothing is missing.   --cuda: also the CUDA link mode (nvcc 13 and NVIDIA's wheels).
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  echo "usage: scripts/setup.sh [--cuda]"
  echo "  --cuda   add the CUDA link mode: nvcc >= 13.0 (PATH, CUDA_HOME, else a pinned wheel), NVIDIA libraries"
}
cuda=no
for arg in "$@"; do
  case $arg in
    --cuda) cuda=yes ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
  esac
done

packages=(
  g++ cmake ninja-build ccache pkg-config clang-format
  libopencv-core-dev libopencv-imgcodecs-dev libturbojpeg0-dev zlib1g-dev libsentencepiece-dev nlohmann-json3-dev libspdlog-dev
  libyaml-cpp-dev libpcre2-dev libutf8proc-dev libgtest-dev libbenchmark-dev
  dataset-fashion-mnist python3 python3-pip
)
# What libtorch_cpu.so loads: the wheel itself and two small NVIDIA libraries that its profiler names.
wheels=(torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)
# What libtorch_cuda.so loads, in the versions that torch 2.11.0 asks for.
cuda_wheels=(
  nvidia-cublas==13.1.0.3 nvidia-cudnn-cu13==9.19.0.56 nvidia-nccl-cu13==2.28.9 nvidia-cufft==12.0.0.61
  nvidia-cusolver==12.0.4.66 nvidia-cusparse==12.6.3.3 nvidia-cusparselt-cu13==0.8.0
  nvidia-cuda-nvrtc==13.0.88 nvidia-nvjitlink==13.0.88 nvidia-nvshmem-cu13==3.4.5
  nvidia-cufile==1.15.1.6 nvidia-curand==10.4.0.35 nvidia-nvtx==13.0.85
)
compiler_wheels=(
  nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-cccl==13.0.85
)

say() { printf 'setup: %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    say "need root (or sudo) for: $*" >&2
    exit 1
  fi
}

install_packages() {
  local missing=() package
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' ||
      missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "installing Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# The first python3 with pip; PATH may hold one without.
find_python() {
  local python
  for python in python3 /usr/bin/python3; do
    "$python" -m pip --version >/dev/null 2>&1 && echo "$python" && return
  done
  say "no python3 with pip found; install python3-pip" >&2
  exit 1
}

# Installs the wheels that PREFIX lacks. A wheel's *.dist-info folder moves in last: it proves the rest is there.
install_wheels() {
  local prefix=$1 missing=() wheel name
  shift
  for wheel in "$@"; do
    name=${wheel%%==*}
    [ -d "$prefix/${name//-/_}-${wheel##*==}.dist-info" ] || missing+=("$wheel")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "installing wheels into $prefix: ${missing[*]}"
  local python stage flags=()
  python=$(find_python)
  "$python" -m pip install --help | grep -q -- --break-system-packages && flags+=(--break-system-packages)
  mkdir -p "$prefix"
  stage=$(mktemp -d third_party/.stage-XXXXXX)
  # shellcheck disable=SC2064  # the name must be filled in now: `stage` is gone when the trap runs
  trap "rm -rf '$stage'" EXIT
  "$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
    --no-compile --no-cache-dir "${flags[@]}" --target "$stage/files" "${missing[@]}"
  mkdir "$stage/proof"
  mv "$stage"/files/*.dist-info "$stage/proof/"
  for wheel in "${missing[@]}"; do # another version of the same wheel leaves first
    name=${wheel%%==*}
    rm -rf "$prefix/${name//-/_}"-*.dist-info
    [ "$name" = torch ] && rm -rf "$prefix/torch"
  done
  cp -alf "$stage"/files/. "$prefix/"
  mv "$stage"/proof/*.dist-info "$prefix/"
  rm -rf "$stage"
}

has_nvcc_13() {
  local version
  version=$("$1" --version 2>/dev/null | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
  [ "${version:-0}" -ge 13 ]
}

# CMake and nvcc look for a toolkit's lib64/ and for libNAME.so; the wheels hold lib/libNAME.so.MAJOR only.
shape_as_toolkit() {
  local library
  ln -sfn lib "$1/lib64"
  for library in "$1"/lib/lib*.so.*; do
    ln -sf "$(basename "$library")" "${library%%.so.*}.so"
  done
}

install_cuda() {
  install_wheels third_party/libtorch "${cuda_wheels[@]}"
  local nvcc
  for nvcc in nvcc "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" /usr/local/cuda/bin/nvcc; do
    if has_nvcc_13 "$nvcc"; then
      say "nvcc: $(command -v "$nvcc")"
      return
    fi
  done
  install_wheels third_party/libtorch "${compiler_wheels[@]}"
  shape_as_toolkit third_party/libtorch/nvidia/cu13
  say "nvcc: third_party/libtorch/nvidia/cu13/bin/nvcc (pinned wheel)"
}

install_packages
install_wheels third_party/libtorch "${wheels[@]}"
if [ "$cuda" = yes ]; then install_cuda; fi
say "ready"
