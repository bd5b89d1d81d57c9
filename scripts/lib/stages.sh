# Stages of the study, shared by scripts/quickstart.sh and scripts/study.sh. Sourced, not run.
#
# A stage is redone only if its recipe (its YAML, its command, and all stages before it) changed; an interrupted one
# resumes from its last checkpoint. `root` is the folder of all outputs, `seed` that of the run.

sgrpo=build/release/sgrpo
# Waiting OpenMP threads sleep instead of spinning: on a shared machine a step is several times faster.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

step() { printf '\n==== [%4d s] %s\n' $SECONDS "$*"; }

show() {
  printf '$ %s\n' "$*"
  "$@"
}

build_sgrpo() {
  step "release build of the target sgrpo (the first one takes minutes)"
  mkdir -p build
  cmake --preset release >build/configure-release.log 2>&1 || { cat build/configure-release.log >&2 && exit 1; }
  cmake --build --preset release --target sgrpo
}

# The recipe NAME of configs/study with its paths under $root.
recipe() {
  local path=configs/study/$1.yaml
  if [ "$root" != runs/quickstart ]; then
    mkdir -p "$root/configs"
    sed "s#runs/quickstart/#$root/#g" "$path" >"$root/configs/$1.yaml"
    path=$root/configs/$1.yaml
  fi
  echo "$path"
}

# stage NAME PARENT OUTPUT RECIPE COMMAND...: runs COMMAND unless NAME is done with the same key.
stage() {
  local name=$1 parent=$2 output=$3 recipe=$4 key
  shift 4
  mkdir -p "$root/stages"
  key=$({ cat "$recipe" "$root/stages/$parent.key" 2>/dev/null || true; } | cat - <(echo "$@") | sha256sum)
  if [ "$(cat "$root/stages/$name.key" 2>/dev/null)" != "$key" ]; then
    rm -rf "$output" "$root/stages/$name.done"
    echo "$key" >"$root/stages/$name.key"
  elif [ -e "$root/stages/$name.done" ] && [ -e "$output" ]; then
    printf 'reusing %s (recipe unchanged)\n' "$output"
    return
  fi
  "$@"
  touch "$root/stages/$name.done"
}

prepare_data() {
  step "Fashion-MNIST: images and rows"
  python3 scripts/prepare_fashion_mnist.py --output "$root/data" --seed "$seed"
  mkdir -p "$root/stages"
  sha256sum <"$root/data/recipe.json" >"$root/stages/data.key"
}

train_base() {
  local spec=configs/study/model.yaml
  step "base model: random weights, then two supervised stages"
  stage init data "$root/init" $spec show $sgrpo init --spec $spec --output "$root/init" --seed "$seed"
  run_stage base_stage1 init sft base_stage1
  run_stage base_stage2 base_stage1 sft base_stage2
}

# run_stage NAME PARENT COMMAND RECIPE [key=value...]: a training run in $root/NAME.
run_stage() {
  local config name=$1 parent=$2 command=$3
  config=$(recipe "$4")
  shift 4
  stage "$name" "$parent" "$root/$name" "$config" show $sgrpo "$command" "$config" "seed=$seed" \
    "output_dir=$root/$name" "$@"
}

# evaluate NAME RECIPE: the splits of RECIPE for the run $root/NAME -> $root/eval/RECIPE-NAME.json
evaluate() {
  local config name=$1 output=$root/eval/$2-$1.json
  config=$(recipe "$2")
  mkdir -p "$root/eval"
  stage "eval-$2-$name" "$name" "$output" "$config" write_evaluation "$config" "$name" "$output"
}

write_evaluation() {
  printf '$ %s\n' "$sgrpo eval $1 --json model.path=$root/$2/checkpoints/latest output_dir=$root/eval"
  $sgrpo eval "$1" --json "model.path=$root/$2/checkpoints/latest" "output_dir=$root/eval" "seed=$seed" >"$3.partial"
  mv "$3.partial" "$3"
}
