#!/usr/bin/env python3
"""Compares two outputs of `sgrpo logprobs` or `sgrpo generate`: same rows, same ids, log-probs within a tolerance.

usage: scripts/compare_logprobs.py [--tolerance 1e-4] A.jsonl B.jsonl      exit 1 if they differ
"""
import argparse
import json
import math
import pathlib
import sys


def read_rows(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {(row['id'], row.get('index', 0)): row for row in rows if 'error' not in row}


def compare(first, second):
    """(worst difference, where, number of tokens); raises ValueError when rows or ids differ."""
    if first.keys() != second.keys():
        raise ValueError(f'different rows, for example {sorted(first.keys() ^ second.keys())[:3]}')
    worst, place, tokens = 0.0, '-', 0
    for key, row in first.items():
        other = second[key]
        if row['completion_ids'] != other['completion_ids']:
            raise ValueError(f'{key}: completion_ids {row["completion_ids"]} and {other["completion_ids"]}')
        for index, (a, b) in enumerate(zip(row['logprobs'], other['logprobs'], strict=True)):
            tokens += 1
            if not math.isfinite(a) or not math.isfinite(b):
                raise ValueError(f'{key} token {index}: {a} and {b}')
            if abs(a - b) > worst:
                worst, place = abs(a - b), f'{key} token {index}: {a} and {b}'
    if not tokens:
        raise ValueError('nothing to compare')
    return worst, place, tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--tolerance', type=float, default=1e-4)
    parser.add_argument('files', type=pathlib.Path, nargs=2)
    arguments = parser.parse_args()
    try:
        worst, place, tokens = compare(*map(read_rows, arguments.files))
    except ValueError as error:
        print(f'compare_logprobs: {error}')
        return 1
    print(f'{tokens} tokens, largest difference {worst:.3g} at {place}')
    return 0 if worst <= arguments.tolerance else 1


if __name__ == '__main__':
    sys.exit(main())
