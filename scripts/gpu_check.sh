#!/usr/bin/env bash
# Everything to try on a machine with a GPU, one line a check, each under its own time limit. With a binary it needs
# no network and no package; Python's standard library compares log-probs.
# usage: scripts/gpu_check.sh [--limit SECONDS] [--json FILE] [BINARY]
#   BINARY   a built sgrpo; by default scripts/setup.sh --cuda and the cuda preset build one, and its tests run too
#   --limit  the most that a check may take, where its own limit is higher
#   --json   one line a check: {"check": ..., "ok": ..., "seconds": ..., "exit": ...}
# Exit code: 0 all checks passed, 1 some failed, 2 there is no GPU.
set -uo pipefail
cd "$(dirname "$0")/.."
usage() {
  sed -n '4,7s/^# \?//p' "$0" >&2
  exit 2
}
limit=3600 json=/dev/null sgrpo=
while [ $# -gt 0 ]; do
  case $1 in
    --limit) limit=${2:?$(usage)} && shift 2 ;;
    --json) json=${2:?$(usage)} && shift 2 ;;
    -*) usage ;;
    *) [ -z "$sgrpo" ] && sgrpo=$1 && shift || usage ;;
  esac
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# check NAME SECONDS COMMAND...: a program or one of the functions below. Its output is shown only when it fails.
check() {
  local name=$1 seconds=$2 start=$SECONDS code=0 word=ok
  shift 2
  [ "$seconds" -gt "$limit" ] && seconds=$limit
  timeout --kill-after=5 "$seconds" bash -c '"$@"' check "$@" >"$work/log" 2>&1 || code=$?
  [ $code -eq 0 ] || word=FAIL
  printf '%-5s %-52s %4d s' $word "$name" $((SECONDS - start))
  case $code in
    0) echo ;;
    124 | 137) echo " (stopped after $seconds s)" ;;
    *) echo " (exit $code)" ;;
  esac
  if [ $code -ne 0 ]; then
    tail -15 "$work/log" | sed 's/^/      /'
    failed=$((failed + 1))
  fi
  printf '{"check": "%s", "ok": %s, "seconds": %d, "exit": %d}\n' "$name" \
    "$([ $code -eq 0 ] && echo true || echo false)" $((SECONDS - start)) $code >>"$json"
}

if ! nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader; then
  echo "gpu_check: no GPU here" >&2
  exit 2
fi

builds=
if [ -z "$sgrpo" ]; then
  builds=yes sgrpo=build/cuda/sgrpo
  scripts/setup.sh --cuda || exit 1
  cmake --preset cuda >"$work/configure" 2>&1 || { cat "$work/configure" && exit 1; }
  cmake --build --preset cuda || exit 1
fi

# Twelve rows over the test images: ids, a completion to score, an answer to find.
make_rows() {
  local images=(gray_90x70.png gray_101x67.jpg palette_64x48.png exif3_120x80.jpg exif6_120x80.jpg exif8_120x80.jpg
    exif6_88x60.png gray_alpha_44x66.png cmyk_96x72.jpg bilevel_45x33.png gray16_40x52.png
    palette_transparent_50x58.png) image
  mkdir -p "$work/data"
  for image in "${images[@]}"; do
    cp "tests/golden/image/files/$image" "$work/data/" || return 1
    printf '{"id": "%s", "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "%s"}]}], ' \
      "$image" "describe the picture."
    printf '"images": ["%s"], "completion": "a top on dark", "ground_truth": "top, dark", "verifier": "caption"}\n' "$image"
  done >"$work/data/rows.jsonl"
}

# device_run COMMAND DEVICE OUTPUT FLAGS...
device_run() {
  local command=$1 device=$2 output=$work/$3
  shift 3
  "$sgrpo" "$command" --model "$work/model" --device "$device" --input "$work/data/rows.jsonl" --output "$output" "$@"
}

train_run() {
  "$sgrpo" train configs/study/caption_sgrpo.yaml "output_dir=$work/$1" "model.path=$work/model" "model.device=$2" \
    "data.train=$work/data/rows.jsonl" "data.eval={}" trainer.steps=3 trainer.prompts_per_step=4
}

# A device that torch sees, and that a run would use by itself.
names_a_gpu() {
  "$sgrpo" doctor | tee "$work/doctor" && grep -Eq '^ *cuda_devices: +[1-9]' "$work/doctor" &&
    grep -Eq '^ *device: +cuda' "$work/doctor"
}

# The tests of our own kernels on the device: some ran, none was skipped.
ops_agree() {
  build/cuda/tests/test_ops --gtest_filter='Cuda.*' >"$work/ops" 2>&1
  local code=$?
  cat "$work/ops"
  [ $code -eq 0 ] && grep -q '\[       OK \] Cuda\.' "$work/ops" && ! grep -q SKIPPED "$work/ops"
}

same_weights() {
  cmp "$work"/{first,second}/checkpoints/latest/model/model.safetensors
}

agree() {
  python3 scripts/compare_logprobs.py --tolerance "$1" "$work/$2" "$work/$3"
}

export sgrpo work
export -f device_run train_run names_a_gpu ops_agree same_weights agree

make_rows || exit 1
"$sgrpo" init --spec configs/study/model.yaml --output "$work/model" --seed 0 || exit 1

check "binary loads; doctor names the GPU" 60 names_a_gpu
if [ -n "$builds" ]; then
  check "all tests of the cuda build" 600 ctest --test-dir build/cuda --output-on-failure --no-tests=error
  check "ops on the GPU agree with the CPU, none skipped" 120 ops_agree
fi
check "logprobs on the CPU" 60 device_run logprobs cpu cpu.jsonl
check "logprobs on the GPU" 60 device_run logprobs cuda cuda.jsonl
check "CPU and GPU log-probs agree within 1e-4" 60 agree 1e-4 cpu.jsonl cuda.jsonl
check "logprobs on the GPU again" 60 device_run logprobs cuda again.jsonl
check "two GPU runs give the same bits" 10 cmp "$work/cuda.jsonl" "$work/again.jsonl"
check "greedy generation on the CPU" 60 device_run generate cpu greedy_cpu.jsonl --greedy --max-new-tokens 8
check "greedy generation on the GPU" 60 device_run generate cuda greedy_cuda.jsonl --greedy --max-new-tokens 8
check "greedy completions and log-probs agree" 60 agree 1e-4 greedy_cpu.jsonl greedy_cuda.jsonl
check "bfloat16 logprobs on the GPU" 60 device_run logprobs cuda bf16.jsonl --dtype bfloat16
check "bfloat16 stays within 0.05 of float32" 60 agree 0.05 cpu.jsonl bf16.jsonl
check "three S-GRPO steps on the GPU" 120 train_run first cuda
check "three S-GRPO steps on the GPU again" 120 train_run second cuda
check "two GPU runs give the same weights" 10 same_weights

echo
if [ "$failed" -gt 0 ]; then
  echo "gpu_check: $failed checks failed"
  exit 1
fi
echo "gpu_check: all checks passed"
