#!/usr/bin/env python3
"""Prints the table of a quickstart folder (base, GRPO, S-GRPO) and checks the study's criteria 1 to 6.

usage: scripts/check_study.py [runs/quickstart]      exit 1 if a criterion fails
"""
import json
import pathlib
import struct
import sys

SPLITS = [('target', 'pass@1'), ('other_phrasing', 'pass@1'), ('shifted', 'pass@1'), ('retention', 'macro'),
          ('retention_held', 'macro')]
TITLES = {'target': 'target', 'other_phrasing': 'other phrasing', 'shifted': 'shifted images',
          'retention': 'retention (7 general tasks)', 'retention_held': 'retention, held-out phrasing'}
WINDOW = 20  # steps of "first" and "last"
BASE_SAMPLES = 1600


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def read_evaluation(path):
    """One JSON object of metrics, as `sgrpo eval --json` prints it."""
    return json.loads(path.read_text())


def mean(values):
    return sum(values) / len(values) if values else float('nan')


class Run:
    """metrics.jsonl of one training run, by step."""

    def __init__(self, folder):
        self.folder = folder
        self.rows = [row for row in read_lines(folder / 'metrics.jsonl')]
        self.steps = [row for row in self.rows if row['step'] >= 1]

    def _window(self, name, rows):
        return mean([row[name] for row in rows if row.get(name) is not None])

    def first(self, name):
        return self._window(name, self.steps[:WINDOW])

    def last(self, name):
        return self._window(name, self.steps[-WINDOW:])

    def at(self, name, step):
        """The last value known at a step."""
        known = [row[name] for row in self.rows if row['step'] <= step and row.get(name) is not None]
        return known[-1] if known else float('nan')

    def num_successes(self):
        """(successes, samples) over every rollout of the run; replaced members were sampled too."""
        rows = [row for path in sorted((self.folder / 'completions').glob('step-*.jsonl')) for row in read_lines(path)
                if row['origin'] == 'sampled']
        return sum(row['status'] == 'correct' for row in rows), len(rows)


def read_tensors(folder):
    """name -> (dtype, shape, bytes) over the safetensors files of a checkpoint."""
    tensors = {}
    for path in sorted((folder / 'model').glob('*.safetensors')):
        data = path.read_bytes()
        length = struct.unpack_from('<Q', data)[0]
        for name, entry in json.loads(data[8:8 + length]).items():
            if name != '__metadata__':
                start, end = entry['data_offsets']
                tensors[name] = (entry['dtype'], tuple(entry['shape']), data[8 + length + start:8 + length + end])
    return tensors


class Study:
    def __init__(self, root):
        self.root = root
        self.grpo, self.sgrpo = Run(root / 'grpo'), Run(root / 'sgrpo')
        self.evaluations = {name: read_evaluation(root / 'eval' / f'caption_eval-{name}.json')
                            for name in ('base_stage2', 'grpo', 'sgrpo')}
        rate = read_evaluation(root / 'eval' / 'caption_base_rate-base_stage2.json')
        self.base_successes = round(rate['val/base_rate/pass@1'] * BASE_SAMPLES)
        self.failed = 0

    def score(self, run, split):
        measure = dict(SPLITS)[split]
        return self.evaluations[run][f'val/{split}/{measure}']

    def print_table(self):
        def line(title, *cells):
            print(f'{title:<34}' + ''.join(f'{cell:>16}' for cell in cells))

        def number(value):
            return '-' if value is None or value != value else f'{value:.3f}'

        def pair(run, name):
            return f'{number(run.first(name))} → {number(run.last(name))}'

        print()
        line('', 'base', 'GRPO', 'S-GRPO')
        for split, _ in SPLITS:
            line(TITLES[split], *(number(self.score(run, split)) for run in ('base_stage2', 'grpo', 'sgrpo')))
        print(f'\nmean of the first → last {WINDOW} steps')
        for title, name in [('reward', 'reward'), ('groups: all fail', 'group/frac_all_fail'),
                            ('groups: mixed', 'group/frac_mixed'), ('groups: all pass', 'group/frac_all_pass'),
                            ('groups with injected ground truth', 'cgi/injected_frac'),
                            ('entropy of a sampled token, nats', 'entropy')]:
            line(title, '', pair(self.grpo, name), pair(self.sgrpo, name))

    def require(self, text, value, holds):
        self.failed += not holds
        print(f'  {"ok  " if holds else "FAIL"} {text}: {value}')

    def check(self):
        print('\ncriteria')
        base = self.score('base_stage2', 'retention')
        self.require('1 retention of the base >= 0.88', f'{base:.3f}', base >= 0.88)
        self.require(f'1 successes of the base in {BASE_SAMPLES} samples <= 1', self.base_successes,
                     self.base_successes <= 1)
        is_silent = self.check_grpo()
        half, end = self.sgrpo.at('val/choose/pass@1', 100), self.score('sgrpo', 'target')
        self.require('3 S-GRPO accuracy at step 100 >= 0.85', f'{half:.3f}', half >= 0.85)
        self.require('3 S-GRPO target accuracy at the end >= 0.93', f'{end:.3f}', end >= 0.93)
        if is_silent:
            gap = end - self.score('grpo', 'target')
            self.require('4 S-GRPO - GRPO >= 0.80', f'{gap:.3f}', gap >= 0.80)
        first, last = self.sgrpo.first('cgi/injected_frac'), self.sgrpo.last('cgi/injected_frac')
        self.require('5 injected fraction, first 20 steps >= 0.9', f'{first:.3f}', first >= 0.9)
        self.require('5 injected fraction, last 20 steps <= 0.08', f'{last:.3f}', last <= 0.08)
        full = self.sgrpo.last('group/frac_all_pass')
        self.require('6 all-pass fraction, last 20 steps >= 0.6', f'{full:.3f}', full >= 0.6)

    def check_grpo(self):
        """Criterion 2. Returns whether GRPO sampled no success, which is when it must not have moved."""
        successes, samples = self.grpo.num_successes()
        if successes:
            print(f'  note 2 GRPO sampled {successes} successes in {samples}: nothing asserted; its target accuracy is '
                  f'{self.score("grpo", "target"):.3f}. Another seed shows the cold start: --seed 1')
            return False
        same = (read_tensors(self.root / 'grpo' / 'checkpoints' / 'latest') ==
                read_tensors(self.root / 'base_stage2' / 'checkpoints' / 'latest'))
        self.require(f'2 GRPO sampled no success in {samples}, its weights equal the base bit by bit',
                     'equal' if same else 'different', same)
        target = self.score('grpo', 'target')
        self.require('2 GRPO target accuracy <= 0.05', f'{target:.3f}', target <= 0.05)
        return True


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else 'runs/quickstart')
    try:
        study = Study(root)
    except (OSError, KeyError) as error:
        print(f'check_study: {root} is not a finished quickstart: {error!r}', file=sys.stderr)
        return 2
    study.print_table()
    study.check()
    print('all criteria hold' if not study.failed else f'{study.failed} criteria fail')
    return 1 if study.failed else 0


if __name__ == '__main__':
    sys.exit(main())
