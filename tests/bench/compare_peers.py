#!/usr/bin/env python3
"""sgrpo beside transformers and TRL on the same cores: both sides in turn, in one run, median ratios.

    python3 -m venv peers && peers/bin/pip install torch==2.11.0 torchvision transformers==5.23.0 trl==1.16.0 \\
        datasets accelerate pillow
    cmake --build --preset release --target sgrpo bench_ours
    python3 tests/bench/compare_peers.py --python peers/bin/python [--rounds 3] [--threads 2]

  generate  tokens/s of sampling: t1, one prompt x 16, 64 new tokens            goal 2.5 x transformers' generate
  update    one optimizer step: t1, 4 groups x 16, 64 tokens                    goal 1.3 x the TRL-equivalent
  t0        command typed -> end of step 1, TRL's tiny model, whole processes   goal 4 x TRL's GRPOTrainer

The models are made once by peer.py (random weights; both sides read the same folder). Nothing else should run.
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEER = ROOT / 'tests/bench/peer.py'


def output_of(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f'{command}: exit {done.returncode}\n{done.stderr[-2000:]}')
    return done.stdout


def last_json(command):
    return json.loads(output_of(command).strip().splitlines()[-1])


def wall(command):
    start = time.perf_counter()
    output_of(command)
    return time.perf_counter() - start


class Sides:
    """Commands of both sides for one machine setting."""

    def __init__(self, arguments, work):
        self.python, self.threads, self.work = arguments.python, arguments.threads, work
        self.models = {}
        for shape in ('t0', 't1'):
            self.models[shape] = work / shape
            output_of([self.python, PEER, 'model', '--shape', shape, '--out', self.models[shape]])

    def timed(self, what):
        """(seconds of ours, seconds of theirs) for generate and update, timed inside the processes."""
        common = ['--model', self.models['t1'], '--group-size', 16, '--new', 64, '--threads', self.threads]
        groups = ['--groups', 4] if what == 'update' else []
        ours = last_json([ROOT / 'build/release/tests/bench/bench_ours', what, *common, *groups])
        theirs = last_json([self.python, PEER, what, *common, *groups])
        return ours['seconds'], theirs['seconds']

    def first_step(self):
        """Whole processes: start, load, one rollout of two completions of 8 tokens, one update."""
        model, run = self.models['t0'], self.work / 'run'
        shutil.rmtree(run, ignore_errors=True)
        ours = wall([ROOT / 'build/release/sgrpo', 'train', '--threads', self.threads, f'model.path={model}',
                     f'data.train={model}/prompts.jsonl', f'output_dir={run}', 'rollout.group_size=2',
                     'rollout.max_new_tokens=8', 'trainer.prompts_per_step=1', 'trainer.steps=1'])
        theirs = wall([self.python, PEER, 'grpo', '--model', model, '--groups', 1, '--group-size', 2, '--new', 8,
                       '--steps', 0, '--threads', self.threads])
        return ours, theirs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--python', required=True, help='interpreter of the peers')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--only', default='generate,update,t0')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        sides = Sides(arguments, pathlib.Path(work))
        for what in arguments.only.split(','):
            measure = sides.first_step if what == 't0' else lambda: sides.timed(what)
            pairs = [measure() for _ in range(arguments.rounds)]
            ratios = [theirs / ours for ours, theirs in pairs]
            print(json.dumps({
                'what': what, 'ratio_median': round(statistics.median(ratios), 2),
                'ratio_min': round(min(ratios), 2), 'ratio_max': round(max(ratios), 2),
                'ours_s': [round(ours, 4) for ours, _ in pairs],
                'theirs_s': [round(theirs, 4) for _, theirs in pairs],
                'threads': arguments.threads}), flush=True)


if __name__ == '__main__':
    main()
