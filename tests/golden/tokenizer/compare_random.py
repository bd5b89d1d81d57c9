#!/usr/bin/env python3
"""Compares `sgrpo tokenize` with Hugging Face `tokenizers` on random strings and prints the count of differences.

    python3 compare_random.py --model DIR [--program build/release/sgrpo] [--count 1000000] [--seed 0]

DIR holds a tokenizer.json. Ids and decoded text are compared. Exit status 1 if any row differs.
"""
import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

from tokenizers import Tokenizer

from random_text import text

BATCH = 50000


def batches(args, specials):
    rng, left = random.Random(args.seed), args.count
    while left > 0:
        yield [text(rng, specials) for _ in range(min(BATCH, left))]
        left -= BATCH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--program", default="build/release/sgrpo")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    oracle = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    specials = [t.content for t in oracle.get_added_tokens_decoder().values()]
    compared = different = 0
    for strings in batches(args, specials):
        rows = "".join(json.dumps({"text": s}) + "\n" for s in strings)
        done = subprocess.run([args.program, "tokenize", "--model", str(args.model)], input=rows.encode(), stdout=subprocess.PIPE, check=True)
        got = [json.loads(line) for line in done.stdout.splitlines()]
        if len(got) != len(strings):
            sys.exit(f"{len(got)} rows for {len(strings)} strings")
        expected = [e.ids for e in oracle.encode_batch(strings, add_special_tokens=False)]
        decoded = oracle.decode_batch(expected, skip_special_tokens=False)
        for string, row, ids, back in zip(strings, got, expected, decoded):
            if row["ids"] == ids and row["text"] == back:
                continue
            different += 1
            if different <= 10:
                print(ascii(string), "expected", ids, ascii(back), "got", row["ids"], ascii(row["text"]))
        compared += len(strings)
    print(f"{different} of {compared} strings differ")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
