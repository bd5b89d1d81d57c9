#!/usr/bin/env python3
"""The table of scripts/study.sh: every arm, mean and sample deviation over seeds.

usage: scripts/study_table.py [--task caption] runs/study
"""
import argparse
import json
import pathlib
import statistics
import sys

SPLITS = [('target', 'pass@1'), ('other_phrasing', 'pass@1'), ('shifted', 'pass@1'), ('retention', 'macro'),
          ('retention_held', 'macro')]


def first_step_at(rows, level):
    """The first validated step whose accuracy on the choosing split reaches the level."""
    steps = [row['step'] for row in rows if (row.get('val/choose/pass@1') or 0) >= level]
    return min(steps) if steps else None


def read_arm(root, name, task):
    """One seed's figures of an arm, or None if it is not finished."""
    evaluation = root / 'eval' / f'{task}_eval-{name}.json'
    metrics = root / name / 'metrics.jsonl'
    if not evaluation.exists():
        return None
    scores = json.loads(evaluation.read_text())
    figures = {split: scores[f'val/{split}/{measure}'] for split, measure in SPLITS}
    if metrics.exists() and name != 'base_stage2':
        rows = [json.loads(line) for line in metrics.read_text().splitlines()]
        figures['first'] = [first_step_at(rows, level) for level in (0.5, 0.9 if task == 'caption' else 0.7)]
        figures['seconds'] = sum(row.get('step_time', 0) - row.get('timing_s/validate', 0) for row in rows)
    return figures


def spread(values):
    text = f'{statistics.mean(values):.3f}'
    return text + (f' ± {statistics.stdev(values):.3f}' if len(values) > 1 else '')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--task', default='caption', choices=['caption', 'code'])
    parser.add_argument('root', type=pathlib.Path, nargs='?', default='runs/study')
    arguments = parser.parse_args()
    seeds = sorted(arguments.root.glob('seed-*'))
    prefix = f'{arguments.task}_eval-'
    names = sorted({path.stem[len(prefix):] for seed in seeds for path in (seed / 'eval').glob(f'{prefix}*.json')})
    if not names:
        print(f'study_table: no finished arm of {arguments.task} under {arguments.root}', file=sys.stderr)
        return 2
    levels = '≥ 0.5 / 0.9' if arguments.task == 'caption' else '≥ 0.5 / 0.7'
    print(f'| arm | seeds | {" | ".join(split for split, _ in SPLITS)} | first step {levels} | train s |')
    print('| --- ' * (len(SPLITS) + 4) + '|')
    for name in names:
        arms = [figures for figures in (read_arm(seed, name, arguments.task) for seed in seeds) if figures]
        cells = [spread([figures[split] for figures in arms]) for split, _ in SPLITS]
        first = '; '.join(' / '.join(str(step or 'never') for step in figures['first'])
                          for figures in arms if 'first' in figures)
        seconds = [figures['seconds'] for figures in arms if 'seconds' in figures]
        cells += [first or '-', f'{statistics.mean(seconds):.1f}' if seconds else '-']
        print(f'| {name} | {len(arms)} | {" | ".join(cells)} |')
    return 0


if __name__ == '__main__':
    sys.exit(main())
