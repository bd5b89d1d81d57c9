#!/usr/bin/env bash
# The main job on real images, from nothing: set-up, build, a small base VLM, GRPO and S-GRPO from it, the table.
# A second run reuses what is finished.   --fresh: redo it   --seed N: another base and run, in runs/quickstart-N
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib/stages.sh

seed=0
root=runs/quickstart
fresh=no
while [ $# -gt 0 ]; do
  case $1 in
    --fresh) fresh=yes ;;
    --seed)
      seed=${2:?--seed needs a number}
      [ "$seed" = 0 ] || root=runs/quickstart-$seed
      shift
      ;;
    *)
      echo "usage: scripts/quickstart.sh [--fresh] [--seed N]" >&2
      exit 2
      ;;
  esac
  shift
done
if [ "$fresh" = yes ]; then rm -rf "$root"; fi

step "set-up"
scripts/setup.sh
build_sgrpo
prepare_data
train_base

step "GRPO on the caption task: the base never answers as wanted, so no reward ever appears"
run_stage grpo base_stage2 train caption_grpo
step "S-GRPO on the same prompts: the ground truth enters groups that fail as a whole"
run_stage sgrpo base_stage2 train caption_sgrpo

step "evaluation of base, GRPO and S-GRPO on all splits"
evaluate base_stage2 caption_base_rate
for run in base_stage2 grpo sgrpo; do evaluate "$run" caption_eval; done

step "report"
show $sgrpo report --output "$root/report.html" --runs "[$root/grpo, $root/sgrpo]" --title "S-GRPO and GRPO"
python3 scripts/check_study.py "$root"
printf '\nreport: %s   (%d s in all)\n' "$root/report.html" $SECONDS
