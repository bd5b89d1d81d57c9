#!/usr/bin/env bash
# Everything to try on a machine with a GPU, one line a check, each under its own time limit.
# usage: scripts/gpu_check.sh [BINARY]      default: builds the cuda preset first
set -uo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# check NAME SECONDS COMMAND...: output goes to a log that is shown only when the command fails
check() {
  local name=$1 limit=$2 start=$SECONDS
  shift 2
  if timeout "$limit" "$@" >"$work/log" 2>&1; then
    printf 'ok    %-52s %4d s\n' "$name" $((SECONDS - start))
  else
    printf 'FAIL  %-52s %4d s (exit %d)\n' "$name" $((SECONDS - start)) $?
    tail -15 "$work/log" | sed 's/^/      /'
    failed=$((failed + 1))
  fi
}

if ! nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader; then
  echo "gpu_check: no GPU here" >&2
  exit 2
fi

sgrpo=${1:-build/cuda/sgrpo}
if [ $# -eq 0 ]; then
  scripts/setup.sh --cuda || exit 1
  cmake --preset cuda >"$work/configure" 2>&1 || { cat "$work/configure" && exit 1; }
  cmake --build --preset cuda || exit 1
fi

# A small checkpoint and twelve rows, made from nothing.
python3 scripts/prepare_fashion_mnist.py --output "$work/data" --limit 12 >/dev/null || exit 1
sed 's/"ground_truth":/"completion": "a top on dark", &/' "$work/data/caption_train.jsonl" >"$work/data/rows.jsonl"
$sgrpo init --spec configs/study/model.yaml --output "$work/model" --seed 0 || exit 1

# device_run COMMAND DEVICE OUTPUT FLAGS...
device_run() {
  local command=$1 device=$2 output=$3
  shift 3
  $sgrpo "$command" --model "$work/model" --device "$device" --input "$work/data/rows.jsonl" \
    --output "$output" "$@"
}

train_run() {
  $sgrpo train configs/study/caption_sgrpo.yaml "output_dir=$work/$1" "model.path=$work/model" "model.device=$2" \
    "data.train=$work/data/caption_train.jsonl" "data.eval={}" trainer.steps=3 trainer.prompts_per_step=4
}

check "binary loads; doctor names the GPU" 60 bash -c "$sgrpo doctor | grep -i cuda"
if [ $# -eq 0 ]; then
  check "all tests of the cuda build" 600 ctest --test-dir build/cuda --output-on-failure --no-tests=error
  check "ops on the GPU agree with the CPU, none skipped" 120 bash -c \
    "build/cuda/tests/test_ops --gtest_filter='Cuda.*' | tee /dev/stderr | grep -q 'PASSED.* 4 tests'"
fi
check "logprobs on the CPU" 60 device_run logprobs cpu "$work/cpu.jsonl"
check "logprobs on the GPU" 60 device_run logprobs cuda "$work/cuda.jsonl"
check "CPU and GPU log-probs agree within 1e-4" 60 python3 scripts/compare_logprobs.py --tolerance 1e-4 \
  "$work/cpu.jsonl" "$work/cuda.jsonl"
check "logprobs on the GPU again" 60 device_run logprobs cuda "$work/again.jsonl"
check "two GPU runs give the same bits" 10 cmp "$work/cuda.jsonl" "$work/again.jsonl"
check "greedy generation on the CPU" 60 device_run generate cpu "$work/greedy_cpu.jsonl" --greedy --max-new-tokens 8
check "greedy generation on the GPU" 60 device_run generate cuda "$work/greedy_cuda.jsonl" --greedy --max-new-tokens 8
check "greedy completions and log-probs agree" 60 python3 scripts/compare_logprobs.py --tolerance 1e-4 \
  "$work/greedy_cpu.jsonl" "$work/greedy_cuda.jsonl"
check "bfloat16 logprobs on the GPU" 60 device_run logprobs cuda "$work/bf16.jsonl" --dtype bfloat16
check "bfloat16 stays within 0.05 of float32" 60 python3 scripts/compare_logprobs.py --tolerance 0.05 \
  "$work/cpu.jsonl" "$work/bf16.jsonl"
check "three S-GRPO steps on the GPU" 120 train_run first cuda
check "three S-GRPO steps on the GPU again" 120 train_run second cuda
check "two GPU runs give the same weights" 10 cmp "$work"/{first,second}/checkpoints/latest/model/model.safetensors

echo
if [ "$failed" -gt 0 ]; then
  echo "gpu_check: $failed checks failed"
  exit 1
fi
echo "gpu_check: all checks passed"
