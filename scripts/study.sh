#!/usr/bin/env bash
# The whole study: every arm of a task over several seeds (each seed has its own base), then the table.
# usage: scripts/study.sh [--task caption|code] [--seeds "0 1 2"] [--arms "grpo sgrpo ..."] [--lrs "1e-4 3e-4"]
# Outputs in runs/study/seed-N; finished stages are reused. Without --lrs each recipe's own rate is used.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/stages.sh

task=caption seeds="0 1 2" arms="grpo sft sgrpo sgrpo_kl sgrpo_self visurf sft_grpo" lrs=recipe
while [ $# -gt 1 ]; do
  case $1 in
    --task) task=$2 ;;
    --seeds) seeds=$2 ;;
    --arms) arms=$2 ;;
    --lrs) lrs=$2 ;;
    *) break ;;
  esac
  shift 2
done
if [ $# -gt 0 ] || [ ! -f "configs/study/${task}_eval.yaml" ]; then
  sed -n '3,4s/^# //p' "$0" >&2
  exit 2
fi

scripts/setup.sh
build_sgrpo
for seed in $seeds; do
  root=runs/study/seed-$seed
  prepare_data
  train_base
  evaluate base_stage2 "${task}_eval"
  evaluate base_stage2 "${task}_base_rate"
  for arm in $arms; do
    for lr in $lrs; do
      name=$task-$arm options=()
      if [ "$lr" != recipe ]; then
        name+=-$lr
        options=("optim.lr=$lr")
      fi
      command=train
      if [ "$arm" = sft ]; then command=sft; fi
      step "$task, seed $seed: $name"
      run_stage "$name" base_stage2 $command "${task}_$arm" "${options[@]}"
      evaluate "$name" "${task}_eval"
    done
  done
done
python3 scripts/study_table.py --task "$task" runs/study
