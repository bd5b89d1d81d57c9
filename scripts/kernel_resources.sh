#!/usr/bin/env bash
# Registers, spills and shared memory of every kernel for sm_80 and sm_90a. Fails when a hot kernel spills, or is gone.
# usage: scripts/kernel_resources.sh      needs nvcc >= 13 ($NVCC, PATH, $CUDA_HOME or /usr/local/cuda), no GPU
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:${CUDA_HOME:-/usr/local/cuda}/bin"
nvcc=${NVCC:-nvcc}
command -v "$nvcc" >/dev/null || { echo "kernel_resources: no nvcc: set NVCC or CUDA_HOME" >&2 && exit 2; }

# Kernels whose time is a step's time: registers that spill turn their arithmetic into memory traffic. In double they
# serve tests alone.
hot='row_logprob_cuda.cu:forward_kernel row_logprob_cuda.cu:backward_kernel
segment_attention_cuda.cu:forward_kernel segment_attention_cuda.cu:backward_query_kernel
segment_attention_cuda.cu:backward_key_kernel rms_norm_cuda.cu:rms_norm_forward_kernel
rms_norm_cuda.cu:rms_norm_backward_kernel elementwise_cuda.cu:rotate_kernel
elementwise_cuda.cu:swiglu_forward_kernel elementwise_cuda.cu:swiglu_backward_kernel'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# report FILE: "file architecture registers spilled_bytes shared_bytes kernel" a line, from the assembler's messages
report() {
  "$nvcc" -std=c++20 -O2 -I. -Xptxas -v -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a \
    -c "$1" -o "$work/object" >"$work/log" 2>&1 || { cat "$work/log" >&2 && exit 1; }
  awk -v file="$(basename "$1")" '
    /Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; architecture = part[4]; spilled = 0 }
    /spill stores/ { spilled = 0; for (i = 2; i <= NF; ++i) if ($i == "spill") spilled += $(i - 2) }
    /Used [0-9]+ registers/ && kernel != "" {
      shared = 0
      for (i = 1; i <= NF; ++i) { if ($i == "Used") registers = $(i + 1); if ($i ~ /^smem/) shared = $(i - 2) }
      print file, architecture, registers, spilled, shared, kernel
      kernel = ""
    }' "$work/log" | c++filt
}

for source in $(find kernels -name '*.cu' | sort); do report "$source"; done >"$work/table"
printf '%-30s %-8s %9s %8s %7s  %s\n' file target registers spilled shared kernel
sed 's/sgrpo::kernels:://g; s/(anonymous namespace):://g; s/, false>/>/g' "$work/table" |
  while read -r file target registers spilled shared kernel; do
    printf '%-30s %-8s %9d %8d %7d  %s\n' "$file" "$target" "$registers" "$spilled" "$shared" "${kernel%%(*}"
  done

failed=0
for entry in $hot; do
  for target in sm_80 sm_90a; do
    lines=$(grep "^${entry%%:*} $target " "$work/table" | grep -E "[ :]${entry##*:}[<(]" | grep -v double || true)
    if [ -z "$lines" ]; then
      echo "kernel_resources: ${entry##*:} of ${entry%%:*} is not there for $target: mend the list of hot kernels" >&2
      failed=1
    elif [ -n "$(awk '$4 > 0' <<<"$lines")" ]; then
      echo "kernel_resources: ${entry##*:} of ${entry%%:*} spills registers on $target" >&2
      failed=1
    fi
  done
done
exit $failed
