#!/usr/bin/env bash
# Formats every C++ file with clang-format 14, or with --check only says which ones differ (exit 1).
set -euo pipefail
cd "$(dirname "$0")/.."
format=$(command -v clang-format-14 || command -v clang-format)
mapfile -t files < <(find include src kernels tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' | sort)
if [ "${1:-}" = --check ]; then
  printf '%s\0' "${files[@]}" | xargs -0 -n 16 -P "$(nproc)" "$format" --dry-run --Werror
  echo "format: ${#files[@]} files clean"
else
  printf '%s\0' "${files[@]}" | xargs -0 -n 16 -P "$(nproc)" "$format" -i
fi
